import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Injectable, UseGuards, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { Args, Field, GraphQLModule, Int, Mutation, ObjectType, Query, Resolver } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import {
  ClientProxyFactory,
  MessagePattern,
  Payload,
  Transport,
  type ClientProxy,
  type MicroserviceOptions,
} from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { once } from 'node:events';
import { ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import {
  Concurrency,
  RateLimit,
  RateLimiter,
  RateLimitGuard,
  RateLimitInfo,
  RateLimitInterceptor,
  type RateLimitDecision,
  type RoutePolicy,
} from 'rednest/rate-limit';
import { lastValueFrom, timeout } from 'rxjs';
import { WebSocket } from 'ws';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { startHttpApp, type HttpApp, type HttpAppInit } from '../support/http-app.js';
import { hourly } from '../support/limiter/hourly.js';
import { freePort, startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** Lets those in whose message or arguments carry a login. */
@Injectable()
class LoginGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context
      .getArgs()
      .some((argument) => (argument as { login?: string } | undefined)?.login === 'ann');
  }
}

/** Two successes; what a guard refuses is none. */
const delivered = hourly('delivered', 2, { countOnly: 'successes', scope: 'global' });

const BOUND = [
  { provide: APP_GUARD, useClass: RateLimitGuard },
  { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
];

let server: TestServer;
const log = new TestLog();
beforeAll(async () => (server = await startEmbedded()));
afterAll(() => server?.stop());

function start(init: Partial<HttpAppInit>): Promise<HttpApp> {
  return startHttpApp({
    url: server.url,
    adapter: new FastifyAdapter(),
    log,
    ...init,
    providers: [...BOUND, ...(init.providers ?? [])],
  });
}

@ObjectType()
class Item {
  @Field() id!: string;
}

const operation = hourly('operation', 3, { scope: 'global' });
const items = hourly('items', 100, { scope: 'global' });
const field = hourly('field', 100, { scope: 'global', charge: 'field' });
const login = hourly('login', 3, {
  scope: 'global',
  key: (context) => context.getArgByIndex<{ id: string }>(1).id,
});
const paid = hourly('paid', 100, {
  scope: 'global',
  cost: (context) => context.getArgByIndex<{ first: number }>(1).first,
});

@Resolver(() => Item)
class ItemResolver {
  @Query(() => Item, { nullable: true })
  @RateLimit(operation, items)
  item(@Args('id') id: string): Item {
    return { id };
  }

  @Query(() => Item, { nullable: true })
  @RateLimit(operation, field)
  other(@Args('id') id: string, @RateLimitInfo() info?: RateLimitDecision): Item {
    return { id: `${id} ${info?.policies.length}` };
  }

  @Query(() => Item, { nullable: true })
  @RateLimit(login)
  login(@Args('id') id: string): Item {
    return { id };
  }

  @Query(() => Item, { nullable: true })
  @RateLimit(paid)
  page(@Args('first', { type: () => Int }) first: number): Item {
    return { id: String(first) };
  }

  @Query(() => Item, { nullable: true })
  @UseGuards(LoginGuard)
  @RateLimit(delivered)
  delivery(@Args('login') id: string): Item {
    return { id };
  }

  @Mutation(() => Item)
  @RateLimit(hourly('changes', 2, { countOnly: 'failures', scope: 'global' }))
  change(@Args('id') id: string): Item {
    if (id === 'bad') throw new Error('bad');
    return { id };
  }
}

describe('GraphQL on Mercurius', () => {
  let http: HttpApp;
  beforeAll(async () => {
    http = await start({
      imports: [
        GraphQLModule.forRoot<MercuriusDriverConfig>({
          driver: MercuriusDriver,
          autoSchemaFile: true,
          jit: 1,
          allowBatchedQueries: true,
          // Nest wraps errors as the driver tells; this shows what a client gets.
          errorFormatter: (result) => ({ statusCode: 200, response: result }),
        }),
      ],
      providers: [ItemResolver],
    });
  });
  afterAll(() => http?.close());

  interface Answer {
    data: Record<string, unknown> | null;
    errors?: { message: string; path: string[]; extensions?: Record<string, unknown> }[];
  }
  /** How often each policy was charged. */
  const counted = async (): Promise<number[]> => {
    const { policies } = await http.app.get(RateLimiter).peek(['ip', '127.0.0.1'], [operation, items, field]);
    return policies.map(({ limit, remaining }) => limit - remaining);
  };
  const query = async (text: string) => {
    const { status, headers, body } = await http.post('/graphql', { query: text });
    return { status, headers, answer: JSON.parse(body) as Answer };
  };

  it('charges an operation once, whatever it asks for and under however many aliases', async () => {
    const aliases = Array.from({ length: 20 }, (_, index) => `a${index}: item(id: "${index}") { id }`).join(
      ' ',
    );

    const { answer, headers } = await query(
      `{ ${aliases} b: other(id: "x") { id } c: other(id: "y") { id } }`,
    );

    expect(answer.errors).toBeUndefined();
    expect(Object.keys(answer.data!)).toHaveLength(22);
    expect(answer.data!['b']).toEqual({ id: 'x 3' });
    expect(await counted()).toEqual([1, 1, 2]);
    expect(headers.get('ratelimit-policy')).toContain('"operation";q=3;w=3600');
  });

  it('charges each operation of a batch', async () => {
    const { body } = await http.post('/graphql', [
      { query: '{ item(id: "1") { id } }' },
      { query: '{ item(id: "1") { id } }' },
    ]);

    expect(JSON.parse(body)).toHaveLength(2);
    expect(await counted()).toEqual([3, 3, 2]);
  });

  it('charges aliases for whom and for what their own arguments say', async () => {
    const users = ['other', 'other', ...Array.from({ length: 5 }, (_, index) => `user-${index}`)];
    const logins = users.map((id, index) => `a${index}: login(id: "${id}") { id }`);
    const { answer: first } = await query(`{ ${logins.join(' ')} }`);
    const { answer: pages } = await query('{ a: page(first: 60) { id } b: page(first: 60) { id } }');
    const limiter = http.app.get(RateLimiter);
    const left = async (id: [string, string], policy: RoutePolicy) =>
      (await limiter.peek(id, policy)).policies[0]?.remaining;

    expect(first.errors).toBeUndefined();
    expect(await Promise.all(['other', 'user-0', 'user-4'].map((id) => left(['key', id], login)))).toEqual([
      2, 2, 2,
    ]);
    expect(Object.values(pages.data!).filter((page) => page !== null)).toHaveLength(1);
    expect(pages.errors?.map(({ extensions }) => extensions?.['violated-policies'])).toEqual([['paid']]);
    expect(await left(['ip', '127.0.0.1'], paid)).toBe(40);
  });

  it('refuses with a GraphQL error that carries the problem, for every field', async () => {
    const { answer, headers } = await query('{ a: item(id: "1") { id } b: item(id: "2") { id } }');

    expect(answer.errors?.map(({ path }) => path)).toEqual([['a'], ['b']]);
    expect(answer.errors?.[0]).toMatchObject({
      message: 'The quota for these requests is used up',
      extensions: {
        code: 'ERR_RATE_LIMIT_EXCEEDED',
        status: 429,
        'violated-policies': ['operation'],
        retryAfterMs: expect.any(Number),
      },
    });
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(3000);
    expect(await counted()).toEqual([3, 3, 2]);
  });

  it('counts no success for what a guard refuses', async () => {
    const ask = async (login: string) => (await query(`{ delivery(login: "${login}") { id } }`)).answer;
    const refused = [await ask('eve'), await ask('eve'), await ask('eve')];
    const answers = [await ask('ann'), await ask('ann'), await ask('ann')];

    expect(refused.map(({ errors }) => errors?.[0]?.message)).toEqual(
      Array.from({ length: 3 }, () => 'Forbidden resource'),
    );
    expect(answers.map(({ errors }) => errors?.[0]?.extensions?.['violated-policies'])).toEqual([
      undefined,
      undefined,
      ['delivered'],
    ]);
  });

  it('gives an operation back by its outcome', async () => {
    const bad = [await query('mutation { change(id: "bad") { id } }')];
    // Three fields share one charge, which is given back once: the failure before stays counted.
    const good = await query(
      'mutation { a: change(id: "1") { id } b: change(id: "2") { id } c: change(id: "3") { id } }',
    );
    bad.push(await query('mutation { change(id: "bad") { id } }'));
    const refused = await query('mutation { change(id: "good") { id } }');

    expect(good.answer.errors).toBeUndefined();
    expect(bad.map(({ answer }) => answer.errors?.[0]?.message)).toEqual(['bad', 'bad']);
    expect(refused.answer.errors?.[0]?.extensions).toMatchObject({ 'violated-policies': ['changes'] });
  });
});

@WebSocketGateway({ path: '/ws' })
class Gateway {
  @SubscribeMessage('say')
  @RateLimit(hourly('say', 2))
  say(@MessageBody() data: unknown, @RateLimitInfo() info?: RateLimitDecision): object {
    return { event: 'said', data: { data, left: info?.policies[0]?.remaining ?? null } };
  }

  @SubscribeMessage('text')
  @RateLimit(hourly('text', 1, { countOnly: 'failures' }))
  text(@MessageBody() data: string): object {
    return { event: 'said', data };
  }

  @SubscribeMessage('deliver')
  @UseGuards(LoginGuard)
  @RateLimit(delivered)
  deliver(): object {
    return { event: 'said', data: 'delivered' };
  }

  @SubscribeMessage('busy')
  @Concurrency({ name: 'busy', limit: 1 })
  busy(): object {
    return { event: 'said', data: 'busy' };
  }
}

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('WebSocket messages on %s', (_name, createAdapter) => {
  let http: HttpApp;
  beforeAll(async () => {
    http = await start({
      adapter: createAdapter(),
      providers: [Gateway],
      prepare: (app) => void app.useWebSocketAdapter(new WsAdapter(app)),
    });
  });
  afterAll(() => http?.close());

  async function talk(
    use: (ask: (event: string, data: unknown) => Promise<Record<string, unknown>>) => Promise<void>,
  ) {
    const socket = new WebSocket(`${http.base.replace('http', 'ws')}/ws`);
    await once(socket, 'open');
    try {
      await use(async (event, data) => {
        const answer = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
        socket.send(JSON.stringify({ event, data }));
        const [message] = (await answer) as [Buffer];
        return JSON.parse(message.toString()) as Record<string, unknown>;
      });
    } finally {
      socket.close();
      await once(socket, 'close');
    }
  }

  it('counts each message for the address of the handshake, over all sockets of a client', async () => {
    await talk(async (ask) => {
      expect(await ask('say', { n: 1 })).toEqual({ event: 'said', data: { data: { n: 1 }, left: 1 } });
    });
    await talk(async (ask) => {
      expect(await ask('say', { n: 2 })).toMatchObject({ event: 'said' });
      const refused = await ask('say', { n: 3 });
      expect(refused).toMatchObject({
        event: 'exception',
        data: { status: 429, 'violated-policies': ['say'], retryAfterMs: expect.any(Number) },
      });
    });
    const keys = await http.app.get<RedisClient>(REDIS).keys('*');
    const { keyPrefix } = http.app.get(ConnectionRegistry).configuration;
    expect(keys.filter((key) => key.startsWith(`${keyPrefix}:rl:{ip/127.0.0.1}`))).toHaveLength(1);
  });

  it('settles messages that are no object', async () => {
    await talk(async (ask) => {
      for (let count = 0; count < 3; count += 1) {
        expect(await ask('text', 'hi')).toEqual({ event: 'said', data: 'hi' });
      }
    });
  });

  it('counts no success for what a guard refuses', async () => {
    await talk(async (ask) => {
      const events: unknown[] = [];
      for (const login of ['eve', 'eve', 'eve', 'ann', 'ann', 'ann']) {
        const { event, data } = await ask('deliver', { login });
        events.push(
          event === 'said' ? data : ((data as Record<string, unknown>)['violated-policies'] ?? 'error'),
        );
      }
      expect(events).toEqual(['error', 'error', 'error', 'delivered', 'delivered', ['delivered']]);
    });
  });

  it('holds a slot as long as the handler runs', async () => {
    await talk(async (ask) => {
      for (let count = 0; count < 3; count += 1) {
        await eventually('the slot is free', async () => (await ask('busy', {}))['event'] === 'said');
      }
    });
  });
});

@Controller()
class Messages {
  @MessagePattern('by-address')
  @RateLimit(hourly('rpc-address', 1))
  byAddress(): string {
    return 'ok';
  }

  @MessagePattern('deliver')
  @UseGuards(LoginGuard)
  @RateLimit({ ...delivered, key: 'tenant' })
  deliver(): string {
    return 'delivered';
  }

  @MessagePattern('by-tenant')
  @RateLimit(hourly('rpc-tenant', 1, { key: 'tenant' }))
  byTenant(@Payload() _data: object, @RateLimitInfo() info?: RateLimitDecision): number {
    return info!.policies[0]!.remaining;
  }
}

describe('microservice messages', () => {
  interface Service {
    http: HttpApp;
    client: ClientProxy;
    ask: (pattern: string, data: object) => Promise<unknown>;
  }

  async function startService(
    options: MicroserviceOptions,
    more: Partial<HttpAppInit> = {},
  ): Promise<Service> {
    const http = await start({
      controllers: [Messages],
      prepare: async (app) => {
        app.connectMicroservice<MicroserviceOptions>(options, { inheritAppConfig: true });
        await app.startAllMicroservices();
      },
      ...more,
    });
    const client = ClientProxyFactory.create(options as Parameters<typeof ClientProxyFactory.create>[0]);
    return {
      http,
      client,
      ask: (pattern, data) => lastValueFrom(client.send<unknown>(pattern, data).pipe(timeout(5000))),
    };
  }

  async function stop({ http, client }: Service): Promise<void> {
    await client.close();
    await http.close();
  }

  it('over TCP count for the address of the connection, or what the message says', async () => {
    const service = await startService({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: await freePort() },
    });
    try {
      expect(await service.ask('by-address', {})).toBe('ok');
      expect(await failure(service.ask('by-address', {}))).toMatchObject({
        status: 429,
        'violated-policies': ['rpc-address'],
        retryAfterMs: expect.any(Number),
      });
      expect(await service.ask('by-tenant', { tenantId: 'a' })).toBe(0);
      expect(await service.ask('by-tenant', { tenantId: 'b' })).toBe(0);
      expect(await failure(service.ask('by-tenant', { tenantId: 'a' }))).toMatchObject({ status: 429 });
    } finally {
      await stop(service);
    }
  });

  it('count no success for what a guard refuses', async () => {
    const service = await startService({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: await freePort() },
    });
    const ask = (login: string) => service.ask('deliver', { tenantId: 'd', login });
    try {
      for (let count = 0; count < 3; count += 1) {
        expect(await failure(ask('eve'))).toMatchObject({ message: 'Forbidden resource' });
      }
      expect([await ask('ann'), await ask('ann')]).toEqual(['delivered', 'delivered']);
      expect(await failure(ask('ann'))).toMatchObject({ status: 429, 'violated-policies': ['delivered'] });
    } finally {
      await stop(service);
    }
  });

  it('over Redis have no address: that is an error, in production they share a counter', async () => {
    const options: MicroserviceOptions = {
      transport: Transport.REDIS,
      options: { host: '127.0.0.1', port: server.port, retryAttempts: 0 },
    };
    const strict = await startService(options);
    try {
      expect(await strict.ask('by-tenant', { tenantId: 'c' })).toBe(0);
      expect(await failure(strict.ask('by-address', {}))).toMatchObject({ status: 'error' });
    } finally {
      await stop(strict);
    }
    const sharing = await startService(options, { env: { NODE_ENV: 'production' } });
    try {
      expect(await sharing.ask('by-address', {})).toBe('ok');
      expect(await failure(sharing.ask('by-address', {}))).toMatchObject({ status: 429 });
    } finally {
      await stop(sharing);
    }
  });
});
