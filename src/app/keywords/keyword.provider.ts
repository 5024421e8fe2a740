import { Injectable } from '@nestjs/common';

/** A keyword and how often it is searched. */
export interface Keyword {
  readonly keyword: string;
  readonly monthlySearches: number;
}

/** Where keywords come from; somebody else's service in real life. */
export abstract class KeywordProvider {
  /** Answers as an HTTP API does: 200 with keywords, or 429 with `Retry-After`. */
  abstract search(account: string, query: string): Promise<Response>;
}

/** What the provider allows each account. */
export const KEYWORD_LIMIT = Object.freeze({ name: 'keywords', limit: 10, window: '1m' } as const);

const LIMIT = 10;
const WINDOW_MS = 60_000;
const LATENCY_MS = 20;
const ENDINGS = ['', ' price', ' near me', ' review', ' online'];

/** Invents keywords, and enforces its limit like a real one: the 11th call of an account within a minute fails. */
@Injectable()
export class SimulatedKeywordProvider extends KeywordProvider {
  private readonly callsMs = new Map<string, number[]>();
  /** Calls it took and calls it refused; tests look at them. */
  readonly counts = { answered: 0, refused: 0 };

  override async search(account: string, query: string): Promise<Response> {
    const waitMs = this.take(account);
    await new Promise((resolve) => setTimeout(resolve, LATENCY_MS));
    if (waitMs > 0) {
      return new Response(null, {
        status: 429,
        headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) },
      });
    }
    const keywords = ENDINGS.map((ending, index): Keyword => {
      const keyword = `${query}${ending}`;
      return { keyword, monthlySearches: (keyword.length * 7919) % (1000 * (5 - index)) };
    });
    return Response.json(keywords);
  }

  /** Milliseconds until there is room; 0 when the call was taken. */
  private take(account: string): number {
    const nowMs = performance.now();
    const recent = (this.callsMs.get(account) ?? []).filter((atMs) => atMs > nowMs - WINDOW_MS);
    const isFull = recent.length >= LIMIT;
    if (!isFull) recent.push(nowMs);
    this.callsMs.set(account, recent);
    this.counts[isFull ? 'refused' : 'answered'] += 1;
    return isFull ? recent[0]! + WINDOW_MS - nowMs : 0;
  }
}
