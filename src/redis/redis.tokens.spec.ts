import { describe, expect, it } from '@jest/globals';
import { getRedisToken, InjectRedis, REDIS, REDIS_CONFIGURATION } from './redis.tokens.js';

describe('getRedisToken', () => {
  it('is the shared client without a name and for the default connection', () => {
    expect(getRedisToken()).toBe(REDIS);
    expect(getRedisToken('default')).toBe(REDIS);
  });

  it('gives each name its own token, the same in every copy of the package', () => {
    expect(getRedisToken('cache')).toBe(getRedisToken('cache'));
    expect(getRedisToken('cache')).not.toBe(getRedisToken('queue'));
    expect(Symbol.keyFor(getRedisToken('cache'))).toContain('cache');
  });

  it.each(['configuration', 'options', 'started', 'redis', ''])(
    'does not meet a token of the module for a connection named %p',
    (name) => {
      const token = getRedisToken(name);

      expect(token).not.toBe(Symbol.for(`rednest:redis:${name}`));
      expect([REDIS, REDIS_CONFIGURATION]).not.toContain(token);
    },
  );
});

describe('InjectRedis', () => {
  it('asks for the token of the connection', () => {
    class Service {}
    InjectRedis('cache')(Service, undefined, 0);
    InjectRedis()(Service, undefined, 1);

    const asked = Reflect.getMetadata('self:paramtypes', Service) as { index: number; param: symbol }[];

    expect(asked.map(({ index, param }) => [index, param])).toEqual(
      expect.arrayContaining([
        [0, getRedisToken('cache')],
        [1, REDIS],
      ]),
    );
  });
});
