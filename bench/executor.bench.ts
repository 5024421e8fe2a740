// What the executor adds to a command: deadline, outcome of failures, no offline queue.
import { KEYS, type Bench } from './lib/bench.js';

const VALUE = 'v'.repeat(100);

export const executorBench: Bench = {
  capability: 'executor',
  sequential: 3000,
  concurrent: 20_000,
  async open({ executor, floor }) {
    const raw = floor();
    const keys = Array.from({ length: KEYS }, (_, index) => `bench:executor:{${index}}`);
    await Promise.all(keys.map((key) => raw.set(key, VALUE)));
    const key = (index: number): string => keys[index % KEYS]!;
    return {
      operation: 'GET of 100 bytes',
      variants: [
        { name: 'ioredis get', run: (index) => raw.get(key(index)) },
        {
          name: 'RedisExecutor.run',
          run: (index) => executor.run('bench.get', (client) => client.get(key(index))),
        },
      ],
    };
  },
};
