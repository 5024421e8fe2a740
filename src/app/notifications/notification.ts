import type { QueueName } from 'rednest/queue';
import { z } from 'zod';

/** Ways a notification can go out; each has a queue of its own. */
export const CHANNELS = ['email', 'sms', 'whatsapp', 'telegram', 'web'] as const;

/** One of {@link CHANNELS}. */
export type Channel = (typeof CHANNELS)[number];

/** Queue of a channel. */
export function channelQueue(channel: Channel): QueueName {
  return `notifications__${channel}`;
}

/** Queues of all channels. */
export const NOTIFICATION_QUEUES: readonly QueueName[] = CHANNELS.map(channelQueue);

/** Body of a request to notify somebody. */
export const NotificationRequest = z.strictObject({
  type: z.string().min(1).max(100),
  channel: z.enum(CHANNELS),
  to: z.string().min(1).max(320),
  dedupeKey: z.string().min(1).max(200),
  body: z.string().max(10_000),
});

/** {@link NotificationRequest} as a type. */
export type NotificationRequest = z.infer<typeof NotificationRequest>;

/** Payload of a notification job. */
export type NotificationJob = Omit<NotificationRequest, 'dedupeKey'>;

/** Identifier of a tenant in a path. */
export const TenantId = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'letters, digits and . _ - (at most 64)');
