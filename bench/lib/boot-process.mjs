// Boots an application once, as a process of its own, and prints how long it took in milliseconds:
// loading the modules, booting, and both with the start of Node. Arguments: variant, url.
import { NestFactory } from '@nestjs/core';

const [variant, url] = process.argv.slice(2);
const nestLoadedMs = performance.now();

class Root {}

async function imports() {
  if (variant === 'bare') return [];
  const { RedisModule } = await import('../../dist/index.js');
  const common = { app: 'bench', env: {}, logger: { log() {}, warn() {}, error() {} } };
  if (variant === 'server') return [RedisModule.forRoot({ ...common, url })];
  const { EmbeddedRedis } = await import('../../dist/embedded/index.js');
  return [RedisModule.forRoot({ ...common, embedded: EmbeddedRedis })];
}

const root = { module: Root, imports: await imports() };
const loadedMs = performance.now();
const context = await NestFactory.createApplicationContext(root, { logger: false });
const readyMs = performance.now();
await context.close();
process.stdout.write(
  JSON.stringify({ loadMs: loadedMs - nestLoadedMs, bootMs: readyMs - loadedMs, totalMs: readyMs }),
);
