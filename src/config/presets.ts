import type { ServerPreset } from './options.js';

/** What a preset changes; what is set beside it wins. */
export interface PresetSettings {
  readonly connectTimeoutMs?: number;
  /** Whether names of Cluster nodes are turned into addresses before connecting. */
  readonly resolvesNames?: false;
  /** Certificates carry the configured name although nodes announce addresses. */
  readonly usesFirstHostAsServername?: true;
}

/** Names of all presets. */
export const PRESET_NAMES = ['aws', 'azure', 'kubernetes'] as const satisfies readonly ServerPreset[];

/** A TLS handshake across zones, with a server that may be starting, takes longer than one in the next rack. */
const REMOTE_CONNECT_MS = 5_000;

/** Where servers of a kind differ from one that was set up by hand. */
export const PRESETS: Readonly<Record<ServerPreset, PresetSettings>> = Object.freeze({
  aws: { connectTimeoutMs: REMOTE_CONNECT_MS, resolvesNames: false },
  azure: { connectTimeoutMs: REMOTE_CONNECT_MS, resolvesNames: false, usesFirstHostAsServername: true },
  kubernetes: { resolvesNames: false },
});
