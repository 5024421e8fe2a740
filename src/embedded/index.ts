export { EmbeddedRedis } from './embedded-redis.js';
export {
  EmbeddedPortInUseError,
  EmbeddedStartError,
  EmbeddedStopError,
  type EmbeddedStartFailure,
} from './embedded.errors.js';
export type { EmbeddedRedisOptions, MemorySize } from './embedded.options.js';
export type { EmbeddedExit } from './server-handle.js';
