// Must compile as it stands: every line under "@ts-expect-error" must not.
import type { DynamicModule } from '@nestjs/common';
import {
  buildKey,
  DIAGNOSTICS,
  defineKeyspace,
  getRedisToken,
  InjectRedis,
  isRednestError,
  KeyspaceRegistry,
  RedisModule,
  resolveDuration,
  resolveTtl,
  ROLE_SETTINGS,
  type Duration,
  type LuaScript,
  type Outcome,
  type RedisCallError,
  type RedisClient,
  type RedisExecutor,
} from 'rednest';

/** Compiles only when both types are the same. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
function assertSame<A, B>(_proof: Same<A, B>): void {}

declare const executor: RedisExecutor;
declare const client: RedisClient;
declare const TAKE: LuaScript<
  readonly [bucket: string, log: string],
  readonly [cost: number],
  readonly number[]
>;

export async function calls(): Promise<void> {
  const text = await executor.run('probe.get', (redis) => redis.get('k'), { deadlineMs: 50 });
  assertSame<typeof text, string | null>(true);
  const reply = await executor.script('probe.take', TAKE, ['a', 'b'], [1]);
  assertSame<typeof reply, readonly number[]>(true);
  // @ts-expect-error one key is missing
  await executor.script('probe.take', TAKE, ['a'], [1]);
  // @ts-expect-error one key too many
  await executor.script('probe.take', TAKE, ['a', 'b', 'c'], [1]);
  // @ts-expect-error the argument is a number
  await executor.script('probe.take', TAKE, ['a', 'b'], ['1']);
  // @ts-expect-error an argument is missing
  await executor.script('probe.take', TAKE, ['a', 'b'], []);
  // @ts-expect-error keys and arguments are not to be exchanged
  await executor.script('probe.take', TAKE, [1], ['a', 'b']);
  // @ts-expect-error the unit is in the name
  await executor.run('probe.get', (redis) => redis.get('k'), { deadline: '50ms' });
  // @ts-expect-error a call answers with a promise
  await executor.run('probe.get', () => 1);
  // @ts-expect-error the script decides the reply
  const wrong: string = await executor.script('probe.take', TAKE, ['a', 'b'], [1]);
  return void wrong;
}

const CLAIMS = defineKeyspace({
  capability: 'probe',
  name: 'claim',
  routing: 'tenantId',
  parts: ['type', 'id'],
  ttl: 'short',
  value: 'hash',
  description: 'A claim',
});

export function keys(registry: KeyspaceRegistry): string[] {
  registry.register(CLAIMS);
  assertSame<typeof CLAIMS.ttlMs, number | undefined>(true);
  // @ts-expect-error the parts are declared: one is missing
  CLAIMS.key('shop', 't1', 'invoice');
  // @ts-expect-error and one is too many
  CLAIMS.key('shop', 't1', 'invoice', 1, 2);
  // @ts-expect-error a missing tenant is not an id
  CLAIMS.key('shop', undefined, 'invoice', 1);
  // @ts-expect-error a declaration does not change
  CLAIMS.definition.ttl = 'long';
  // @ts-expect-error not a tier
  defineKeyspace({ ...CLAIMS.definition, ttl: 'forever' });
  // @ts-expect-error not a kind of value
  defineKeyspace({ ...CLAIMS.definition, value: 'blob' });
  // @ts-expect-error a part is text or a number
  buildKey('shop', 'probe', null);
  return [CLAIMS.key('shop', 't1', 'invoice', 42), buildKey('shop', 'probe', 't1', 'a', 5)];
}

export const modules: DynamicModule[] = [
  RedisModule.forRoot(),
  RedisModule.forRoot({ app: 'shop', url: 'redis://db', connections: { cache: { host: 'cache' } } }),
  RedisModule.forRoot({ client, logFormat: 'json', shutdownTimeout: '20s', timeouts: { command: 500 } }),
  RedisModule.forRootAsync({ connectionNames: ['cache'], useFactory: async () => ({ app: 'shop' }) }),
  // @ts-expect-error not a format
  RedisModule.forRoot({ logFormat: 'xml' }),
  // @ts-expect-error not a unit
  RedisModule.forRoot({ shutdownTimeout: '20 seconds' }),
  // @ts-expect-error not an option: options are named without their unit
  RedisModule.forRoot({ bootTimeoutMs: 100 }),
  // @ts-expect-error not an environment
  RedisModule.forRoot({ environment: 'staging' }),
];

export function channels(): void {
  assertSame<typeof DIAGNOSTICS.cache, 'rednest:cache'>(true);
  assertSame<typeof DIAGNOSTICS.connection, 'rednest:connection'>(true);
  // @ts-expect-error the names are fixed
  DIAGNOSTICS.cache = 'rednest:cache';
  // @ts-expect-error no such channel
  void DIAGNOSTICS.locks;
}

export function durations(): number[] {
  const accepted: Duration[] = [1, '250ms', '1.5s', '5m', '2h', '1d'];
  // @ts-expect-error a number in a text needs a unit
  const bare: Duration = '250';
  // @ts-expect-error not a unit
  const weeks: Duration = '2w';
  return [...accepted, bare, weeks]
    .map((value) => resolveDuration(value, 'probe'))
    .concat(resolveTtl('long'));
}

export class Service {
  constructor(
    @InjectRedis() readonly redis: RedisClient,
    @InjectRedis('cache') readonly cache: RedisClient,
  ) {}

  outcomeOf(error: RedisCallError): Outcome {
    const token: symbol = getRedisToken('cache');
    // @ts-expect-error settings are read only
    ROLE_SETTINGS.command.maxRetriesPerRequest = null;
    // @ts-expect-error an outcome is one of three words
    if (error.outcome === 'failed') return 'refused';
    // @ts-expect-error a known error carries a code that is text
    if (isRednestError(error) && error.code === 5) return 'unknown';
    return token ? error.outcome : 'unknown';
  }
}
