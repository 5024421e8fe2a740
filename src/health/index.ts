export type { ClusterReport } from './cluster-masters.js';
export { ConnectionsHealthIndicator, type ConnectionsReport, type RoleCount } from './connections.health.js';
export type { RecentCounts } from './counter-history.js';
export type { CapabilityWeight } from './criticality.js';
export { DrainHealthIndicator } from './drain.health.js';
export { RedisHealthModule } from './health.module.js';
export {
  HEALTH_THRESHOLD_DEFAULTS,
  REDIS_HEALTH_DEFAULTS,
  type RedisHealthOptions,
  type RedisHealthThresholds,
} from './health.options.js';
export { REDIS_HEALTH_OPTIONS } from './health.tokens.js';
export type { RedisHealthPlace } from './place.js';
export {
  RedisHealthIndicator,
  type RedisHealthCheckOptions,
  type RedisHealthDetails,
  type RedisHealthView,
} from './redis.health.js';
export type { ObservedServer, ServerFacts } from './server-facts.js';
export type {
  ClientsReport,
  MemoryReport,
  PersistenceReport,
  ReplicationReport,
  ServerReport,
} from './server-info.js';
