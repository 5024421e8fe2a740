/** Learns from the coherence what changed, and whether changes are heard of at all. */
export interface ChangeListener {
  /** Changes are heard of from now on; what is known from before may be outdated. */
  arm(): void;
  /** Changes may go unheard from now on. */
  disarm(): void;
  /** Everything may have changed. */
  suspectAll(): void;
  /** An entry changed. */
  changed(key: string): void;
  /** A tag was invalidated, or a namespace cleared. */
  signalled(signal: string): void;
}
