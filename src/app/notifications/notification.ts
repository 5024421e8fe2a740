import { defineQueue } from 'rednest/queue';
import { z } from 'zod';
import { Identifier, text } from '../validation.js';

/** Ways a notification can go out; each has a queue of its own. */
export const CHANNELS = ['email', 'sms', 'whatsapp', 'telegram', 'web'] as const;

/** One of {@link CHANNELS}. */
export type Channel = (typeof CHANNELS)[number];

/** Body of a request to notify somebody. */
export const NotificationRequest = z.strictObject({
  type: text(1, 100),
  channel: z.enum(CHANNELS),
  to: text(1, 320),
  dedupeKey: text(1, 200),
  body: text(0, 10_000),
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
export const TenantId = Identifier;
