/** A server that says nothing for this long, in milliseconds, is not merely busy with one command. */
const LONG_MS = 250;

/**
 * Tells a server that has gone silent from one that is late for a single call: calls with short
 * deadlines time out in a pause of a few milliseconds, which is no reason to give the server up.
 */
export class Silence {
  private answers = -1;
  private sinceMs = 0;

  /**
   * Whether the connection has been silent for long.
   *
   * @param answers answers the connection has received so far
   * @param sentAtMs when the call that timed out was sent, in monotonic milliseconds
   */
  isLong(answers: number, sentAtMs: number): boolean {
    if (answers !== this.answers) {
      this.answers = answers;
      this.sinceMs = sentAtMs;
    }
    return performance.now() - this.sinceMs >= LONG_MS;
  }
}
