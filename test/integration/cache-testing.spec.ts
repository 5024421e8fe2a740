import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { Cacheable, CacheService } from 'rednest/cache';
import { CacheTestbed, CacheTestingModule, type CacheTestingOptions } from 'rednest/testing';
import { eventually } from '../support/eventually.js';
import { startEmbedded, type TestServer } from '../support/servers.js';

@Injectable()
class Prices {
  @Cacheable({ key: (id: string) => ['price', id], grace: '1h' })
  async find(id: string): Promise<string> {
    return `price of ${id}`;
  }
}

describe('CacheTestingModule', () => {
  const modules: TestingModule[] = [];
  let server: TestServer;

  beforeAll(async () => {
    server = await startEmbedded();
  });
  afterEach(async () => {
    await Promise.all(modules.splice(0).map((module) => module.close()));
  });
  afterAll(() => server.stop());

  async function start(options?: CacheTestingOptions) {
    const module = await Test.createTestingModule({
      imports: [CacheTestingModule.forRoot(options)],
      providers: [Prices],
    }).compile();
    modules.push(module);
    await module.init();
    return { bed: module.get(CacheTestbed), cache: module.get(CacheService), prices: module.get(Prices) };
  }

  it('needs nothing but itself, and counts loads', async () => {
    const { bed, prices } = await start();

    await Promise.all([prices.find('a'), prices.find('a')]);
    await bed.settled();
    await prices.find('a');
    expect(bed.loads).toBe(1);

    bed.resetLoads();
    await prices.find('b');
    expect(bed.loads).toBe(1);
  });

  it('settles: what was loaded is written', async () => {
    const { bed, cache, prices } = await start({ url: server.url });

    await prices.find('a');
    await bed.settled();

    expect(await cache.has(['price', 'a'])).toBe(true);
  });

  it('makes entries stale without waiting', async () => {
    const { bed, cache, prices } = await start({ url: server.url });
    await prices.find('a');
    await bed.settled();

    await bed.expireAll();

    expect(await cache.has(['price', 'a'])).toBe(false);
    expect(await cache.getEntry(['price', 'a'])).toMatchObject({ isStale: true, value: 'price of a' });
    await prices.find('a');
    expect(bed.loads).toBe(2);
  });

  it('loses the backplane: copies are not served until it is back, and changes are seen', async () => {
    const app = `test-pair-${Date.now()}`;
    const [one, two] = [await start({ url: server.url, app }), await start({ url: server.url, app })];
    await one.bed.coherent();
    await one.cache.set('k', 'old');
    await one.cache.get('k');
    await eventually('a copy is served', async () => (await one.cache.get('k'), one.cache.peek('k')));

    await one.bed.dropBackplane();
    expect(one.cache.peek('k')).toBeUndefined();
    await two.cache.set('k', 'new');

    expect(await one.cache.get('k')).toBe('new');
    await one.bed.coherent();
    expect(await one.cache.get('k')).toBe('new');
  });
});
