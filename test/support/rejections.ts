/** Keeps the rejections of this process that nobody handles. */
export class UnhandledRejections {
  readonly reasons: unknown[] = [];
  private readonly remember = (reason: unknown): void => void this.reasons.push(reason);

  start(): void {
    process.on('unhandledRejection', this.remember);
  }

  stop(): void {
    process.off('unhandledRejection', this.remember);
  }
}
