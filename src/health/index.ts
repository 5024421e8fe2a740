export { ConnectionsHealthIndicator, type ConnectionsReport, type RoleCount } from './connections.health.js';
export { DrainHealthIndicator } from './drain.health.js';
export { RedisHealthModule } from './health.module.js';
export { REDIS_HEALTH_DEFAULTS, type RedisHealthOptions } from './health.options.js';
export { REDIS_HEALTH_OPTIONS } from './health.tokens.js';
export {
  RedisHealthIndicator,
  type RedisHealthCheckOptions,
  type RedisHealthDetails,
  type RedisHealthPlace,
} from './redis.health.js';
export type { ServerFacts } from './server-facts.js';
