import { Injectable } from '@nestjs/common';
import type { NotificationJob } from './notification.js';

/** What the providers of messages take from each tenant on each channel. */
export const MESSAGE_LIMIT = Object.freeze({ name: 'messages', limit: 20, window: '2s' } as const);

/** Time a provider takes to accept a message, in milliseconds. */
const ACCEPT_MS = 20;

/** Accepts messages; a stand-in for the providers of a real service. */
@Injectable()
export class MessageProvider {
  async send(_message: NotificationJob): Promise<{ deliveredAt: string }> {
    await new Promise((resolve) => setTimeout(resolve, ACCEPT_MS));
    return { deliveredAt: new Date().toISOString() };
  }
}
