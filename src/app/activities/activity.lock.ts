import { Injectable } from '@nestjs/common';
import type { ActivityKey } from './activity.js';

/** Lets one processor at a time work on an activity. */
export abstract class ActivityLock {
  /** Whether somebody works on an activity now. A hint for callers; only {@link using} decides. */
  abstract isHeld(activity: ActivityKey): Promise<boolean>;

  /**
   * Works on an activity while nobody else does.
   *
   * @param work gets a signal that is aborted when the lock is lost
   */
  abstract using<T>(activity: ActivityKey, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

/** No lock: everybody may work at once. For a process of its own, and until a lock takes its place. */
@Injectable()
export class NoActivityLock extends ActivityLock {
  override async isHeld(): Promise<boolean> {
    return false;
  }

  override using<T>(_activity: ActivityKey, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return work(new AbortController().signal);
  }
}
