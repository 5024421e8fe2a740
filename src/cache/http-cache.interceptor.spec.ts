import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost, ModuleRef } from '@nestjs/core';
import { of } from 'rxjs';
import { HttpCache } from './http-cache.decorators.js';
import { HttpCacheInterceptor } from './http-cache.interceptor.js';
import { entityTag, fieldNames, matchesTag } from './http-response.js';

describe('HttpCacheInterceptor', () => {
  // Neither the container nor an adapter may be touched: there is no HTTP.
  const interceptor = new HttpCacheInterceptor({} as ModuleRef, {} as HttpAdapterHost);

  it.each(['rpc', 'ws', 'graphql'])('passes messages of type %s through', async (type) => {
    const answer = of('answer');
    const context = { getType: () => type } as ExecutionContext;

    expect(await interceptor.intercept(context, { handle: () => answer })).toBe(answer);
  });

  it('passes routes without the decorator through', async () => {
    class Plain {
      list(): void {}
    }
    const answer = of('answer');
    const context = {
      getType: () => 'http',
      getClass: () => Plain,
      getHandler: () => Object.getOwnPropertyDescriptor(Plain.prototype, 'list')!.value as object,
    } as unknown as ExecutionContext;

    expect(await interceptor.intercept(context, { handle: () => answer })).toBe(answer);
  });
});

describe('@HttpCache', () => {
  it.each([
    [{ ttl: 'forever' }, 'ttl'],
    [{ vary: ['*'] }, 'vary'],
    [{ vary: ['a b'] }, 'vary'],
    [{ principal: 'me' }, 'principal'],
    [{ cache: '' }, 'cache'],
    [{ maxAge: -1 }, 'maxAge'],
    [{ tags: [''] }, 'tag'],
  ])('refuses %j', (options, name) => {
    expect(() => HttpCache(options as never)).toThrow(name);
  });
});

describe('entity tags', () => {
  it('depend on what is sent', () => {
    expect(entityTag({ a: 1 })).toBe(entityTag({ a: 1 }));
    expect(entityTag({ a: 1 })).not.toBe(entityTag({ a: 2 }));
    expect(entityTag(null)).toMatch(/^W\/"[\w-]{43}"$/);
    expect(entityTag(Buffer.from('x'))).toBe(entityTag('x'));
  });

  it('are compared as RFC 9110 says for If-None-Match', () => {
    expect(matchesTag(undefined, 'W/"a"')).toBe(false);
    expect(matchesTag('*', 'W/"a"')).toBe(true);
    expect(matchesTag('"x", W/"a"', 'W/"a"')).toBe(true);
    expect(matchesTag('"a"', 'W/"a"')).toBe(true);
    expect(matchesTag('"ab"', 'W/"a"')).toBe(false);
    expect(matchesTag('a', '"a"')).toBe(false);
  });

  it('and lists of header names are read without case and space', () => {
    expect(fieldNames(' Accept, X-Tenant ,')).toEqual(['accept', 'x-tenant']);
  });
});
