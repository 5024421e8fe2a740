import { defineQueue } from 'rednest/queue';
import { z } from 'zod';

/** Ways a notification can go out; each has a queue of its own. */
export const CHANNELS = ['email', 'sms', 'whatsapp', 'telegram', 'web'] as const;

/** One of {@link CHANNELS}. */
export type Channel = (typeof CHANNELS)[number];

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
export const NotificationJob = NotificationRequest.omit({ dedupeKey: true });

/** {@link NotificationJob} as a type. */
export type NotificationJob = z.infer<typeof NotificationJob>;

/** What became of a notification. */
export const Delivery = z.object({ channel: z.enum(CHANNELS), deliveredAt: z.string() });

/** {@link Delivery} as a type. */
export type Delivery = z.infer<typeof Delivery>;

const channelQueue = (channel: Channel) =>
  defineQueue(`notifications__${channel}`, {
    jobs: { deliver: { data: NotificationJob, result: Delivery } },
    // A tenant that notifies thousands does not make the others wait.
    fair: true,
    retention: { completed: '1d', failed: '7d' },
  });

/** Queue of each channel. */
export const NOTIFICATION_QUEUES = {
  email: channelQueue('email'),
  sms: channelQueue('sms'),
  whatsapp: channelQueue('whatsapp'),
  telegram: channelQueue('telegram'),
  web: channelQueue('web'),
} satisfies Record<Channel, unknown>;

/** Queues of all channels. */
export const ALL_NOTIFICATION_QUEUES = Object.values(NOTIFICATION_QUEUES);

/** Identifier of a tenant in a path. */
export const TenantId = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'letters, digits and . _ - (at most 64)');
