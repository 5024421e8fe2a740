import type { ResolvedBlock } from '../resolved-policy.js';

/** Refusals and blocks of one policy and identity, under the same rules as the script's. */
export class LocalBlock {
  private endsUs = 0;
  private forgottenUs = 0;
  private level = 0;
  private refusals = 0;

  /** Time until the block ends; 0 when there is none. */
  restUs(nowUs: number): number {
    return Math.max(0, this.endsUs - nowUs);
  }

  /** Counts a refusal. Returns the length of the block that it begins, or 0. */
  refuse({ after, decayUs, lengthsUs }: ResolvedBlock, nowUs: number): number {
    if (lengthsUs.length === 0) return 0;
    if (nowUs >= this.forgottenUs) this.level = this.refusals = 0;
    this.refusals += 1;
    let lengthUs = 0;
    if (this.refusals >= after) {
      this.level = Math.min(this.level + 1, lengthsUs.length);
      this.refusals = 0;
      lengthUs = lengthsUs[this.level - 1]!;
      this.endsUs = nowUs + lengthUs;
    }
    this.forgottenUs = Math.max(this.endsUs, nowUs) + decayUs;
    return lengthUs;
  }

  /** As {@link begin}, but a longer block stays. */
  extend(lengthUs: number, block: ResolvedBlock, nowUs: number): void {
    if (nowUs + lengthUs > this.endsUs) this.begin(lengthUs, block, nowUs);
  }

  /** Begins a block by hand. */
  begin(lengthUs: number, { decayUs }: ResolvedBlock, nowUs: number): void {
    this.level = Math.max(this.level, 1);
    this.refusals = 0;
    this.endsUs = nowUs + lengthUs;
    this.forgottenUs = this.endsUs + decayUs;
  }
}
