import { isUint8Array } from 'node:util/types';
import { z } from 'zod';
import { MAX_DB } from './endpoint.js';
import { textProblem } from './faults.js';
import { PRESET_NAMES } from './presets.js';
import { BOOT_MODES } from './variables.js';

/*
 * The message of every rule completes the sentence "<setting> must be ...": zod finds the fault, its
 * own words never reach the user.
 */
const text = z.string('a text').min(1, 'a text that is not empty');
const word = text.refine(
  (value) => textProblem(value) === undefined,
  'a text without white space around it, quotes or unexpanded placeholders',
);
const secret = z.string('a text').min(1, 'a text that is not empty (remove the option for no password)');
const provider = z.custom(
  (value) => typeof value === 'function',
  'a function that returns a promise of { username, password, expiresAt }',
);
const integer = (min: number, max: number) => {
  const rule = `a whole number from ${min} to ${max}`;
  return z.number(rule).int(rule).min(min, rule).max(max, rule);
};
const port = integer(1, 65_535);
const hostObject = z.strictObject({ host: text, port: port.optional() }, 'an object { host, port }');
const host = z.union([text, hostObject], 'a text such as host:port, or an object { host, port }');
const pem = z.custom<string | Uint8Array>(
  (value) => typeof value === 'string' || isUint8Array(value),
  'PEM text',
);
const duration = z.union(
  [z.number(), z.string()],
  'a duration: whole milliseconds as a number, or a text such as "250ms" or "30s"',
);

const tlsObject = z.strictObject({
  ca: pem.optional(),
  cert: pem.optional(),
  key: pem.optional(),
  caFile: text.optional(),
  certFile: text.optional(),
  keyFile: text.optional(),
  servername: word.optional(),
});
const tls = z.union([z.boolean(), tlsObject], 'true, false or an object with ca, cert and key');

const sentinels = z.strictObject(
  {
    hosts: z.array(host, 'a list of hosts').min(1, 'a list with at least one host'),
    name: word,
    username: word.optional(),
    password: secret.optional(),
    tls: tls.optional(),
  },
  'an object { hosts, name }',
);
const flag = z.boolean('true or false');
const cluster = z.strictObject(
  {
    nodes: z.array(host, 'a list of hosts').min(1, 'a list with at least one host'),
    resolveNames: flag.optional(),
  },
  'an object { nodes }',
);
const timeouts = z.strictObject(
  { connect: duration.optional(), command: duration.optional(), socket: duration.optional() },
  'an object with connect, command and socket',
);

const limits = {
  connect: duration.optional(),
  command: duration.optional(),
  socket: duration.optional(),
  reconnect: duration.optional(),
  autoPipelining: leftOut('auto-pipelining is an option of the whole connection, and never used for BullMQ'),
};
const ROLE = 'an object with connect, command, socket and reconnect';
const role = z.strictObject(limits, ROLE);
const blocking = role.extend({
  command: leftOut('commands of this role block on purpose and have no timeout; set "socket"'),
});
const listening = role.extend({
  socket: leftOut('this role finds dead sockets by its heartbeat'),
});
const roles = z.strictObject(
  {
    command: role.optional(),
    producer: role.optional(),
    transaction: role.optional(),
    worker: blocking.optional(),
    reader: blocking.optional(),
    subscriber: listening.optional(),
    tracking: listening.optional(),
  },
  'an object of limits by role',
);

function leftOut(reason: string) {
  return z.undefined(`left out: ${reason}`).optional();
}

/** Shape of the options that describe one server. */
export const connectionSchema = z.strictObject(
  {
    url: text.optional(),
    host: text.optional(),
    port: port.optional(),
    path: text.optional(),
    username: word.optional(),
    password: secret.optional(),
    credentials: provider.optional(),
    db: integer(0, MAX_DB).optional(),
    sentinels: sentinels.optional(),
    cluster: cluster.optional(),
    tls: tls.optional(),
    timeouts: timeouts.optional(),
    roles: roles.optional(),
    autoPipelining: flag.optional(),
    natMap: z.record(text, host, 'an object of addresses by announced address').optional(),
    preset: z.enum(PRESET_NAMES, PRESET_NAMES.map((name) => `"${name}"`).join(' or ')).optional(),
  },
  'an object such as { url }',
);

/** Every name that may occur in the options of one server, at any depth. */
export const CONNECTION_OPTION_NAMES: readonly string[] = [
  connectionSchema,
  tlsObject,
  sentinels,
  cluster,
  timeouts,
  roles,
  role,
]
  .flatMap((schema) => Object.keys(schema.shape))
  .concat(Object.keys(hostObject.shape));

const engine = z.custom(
  (value) => typeof (value as { start?: unknown } | null)?.start === 'function',
  'an engine with a start() method, such as EmbeddedRedis from rednest/embedded',
);

/** Shape of the options beside the default connection; further properties belong to other modules. */
export const settingsSchema = z.looseObject({
  app: text.optional(),
  keyPrefix: text.optional(),
  environment: z
    .enum(['development', 'test', 'production'], '"development", "test" or "production"')
    .optional(),
  connections: z.record(z.string(), z.unknown(), 'an object of connection options by name').optional(),
  embedded: engine.optional(),
  boot: z.enum(BOOT_MODES, '"wait", "lazy" or "degraded"').optional(),
  bootTimeout: duration.optional(),
  shutdownTimeout: duration.optional(),
});
