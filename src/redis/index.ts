export { AbortSignals } from './abort-signals.js';
export { afterBootstrap } from './after-bootstrap.js';
export type { ConnectionNeed } from './boot-checks.js';
export { diagnoseBoot, type BootDiagnosis } from './boot-diagnosis.js';
export type { BootPlace } from './boot-settings.js';
export type { CircuitSnapshot, CircuitState } from './circuit-breaker.js';
export { clientName, type RedisClient } from './client-factory.js';
export type { ConnectionLogger, LogFormat } from './connection-log.js';
export { CapabilityRegistry, type CapabilityUse } from './capability-registry.js';
export { ConnectionRegistry, type ConnectionRegistryInit, type OwnedServer } from './connection-registry.js';
export type { BatchBuilder, BatchResults, CommandQueue } from './command-batch.js';
export { RedisCredentialsError } from './credentials.errors.js';
export { DrainRegistry, type DrainParticipant, type DrainState } from './drain-registry.js';
export { DEFAULT_DEADLINE_MS, RedisExecutor, type CallOptions } from './executor.js';
export {
  enableGracefulShutdown,
  type GracefulShutdownOptions,
  type ShutdownEvent,
} from './graceful-shutdown.js';
export {
  defineKeyspace,
  Keyspace,
  KeyspaceRegistry,
  resolveTtl,
  TTL_TIERS,
  type KeyspaceDefinition,
  type KeyspaceRow,
  type KeyspaceValue,
  type Ttl,
  type TtlTier,
} from './keyspace.js';
export { escapeGlob, type ScanOptions } from './key-scan.js';
export { ManagedConnection, type ConnectionSnapshot, type ConnectionState } from './managed-connection.js';
export {
  CrossSlotError,
  PipelineError,
  TransactionConflictError,
  type FailedCommand,
  type KeySlot,
} from './operations.errors.js';
export { RedisOperations } from './operations.js';
export type { OptimisticOptions } from './optimistic-call.js';
export type { PlanResults, TransactionPlan } from './optimistic.js';
export {
  RedisAbortedError,
  RedisBootError,
  RedisCallError,
  RedisCommandError,
  RedisOverloadedError,
  RedisTimeoutError,
  RedisUnavailableError,
  type CallContext,
} from './redis.errors.js';
export { RedisModule, type RedisModuleExtras } from './redis.module.js';
export type { RedisModuleOptions } from './redis.options.js';
export {
  DEFAULT_CONNECTION,
  getRedisToken,
  InjectRedis,
  REDIS,
  REDIS_CONFIGURATION,
} from './redis.tokens.js';
export { ROLE_SETTINGS, type ConnectionRole, type RoleSettings } from './roles.js';
export type { LuaScript, ScriptArguments } from './script.js';
export { assertSameSlot, groupBySlot, slotOf } from './slots.js';
export {
  Subscriber,
  type AttachOptions,
  type SubscribeOptions,
  type SubscriberSnapshot,
  type Unsubscribe,
} from './subscriber.js';
export {
  ChannelMessage,
  type GapListener,
  type MessageListener,
  type SubscriptionGap,
} from './subscriber-message.js';
export { TrackingConnection, type TrackingEvents, type TrackingSnapshot } from './tracking-connection.js';
export type { UnlinkOptions } from './unlink-by-pattern.js';
export { WakeUpChannel, type WakeUpListener, type WakeUpWait } from './wake-up-channel.js';
