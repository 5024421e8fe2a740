import { DEFAULT_CONNECTION, type ResolvedConnection } from '../config/index.js';

/** Which connection did not start; decides which settings the advice names. */
export interface BootPlace {
  /** Configured name. */
  readonly connection: string;
  /** Where it leads; absent for a client handed in by the application. */
  readonly target?: ResolvedConnection | undefined;
}

/** A setting that advice can name. */
export type BootSetting = keyof typeof NAMES;

/** Variable of the default connection, and option of every connection. */
const NAMES = {
  url: ['REDIS_URL', 'url'],
  host: ['REDIS_HOST', 'host'],
  port: ['REDIS_PORT', 'port'],
  username: ['REDIS_USERNAME', 'username'],
  password: ['REDIS_PASSWORD', 'password'],
  db: ['REDIS_DB', 'db'],
  tls: ['REDIS_TLS', 'tls'],
  ca: ['REDIS_TLS_CA_FILE', 'tls.caFile'],
  cert: ['REDIS_TLS_CERT_FILE', 'tls.certFile'],
  key: ['REDIS_TLS_KEY_FILE', 'tls.keyFile'],
  sentinelHosts: ['REDIS_SENTINEL_HOSTS', 'sentinels.hosts'],
  sentinelName: ['REDIS_SENTINEL_NAME', 'sentinels.name'],
  sentinelUsername: ['REDIS_SENTINEL_USERNAME', 'sentinels.username'],
  sentinelPassword: ['REDIS_SENTINEL_PASSWORD', 'sentinels.password'],
  clusterNodes: ['REDIS_CLUSTER_NODES', 'cluster.nodes'],
} as const;

/** Names of the settings of one connection, as advice shows them. */
export class BootSettings {
  constructor(private readonly place: BootPlace | undefined) {}

  /** Name of one setting: a variable for the default connection, an option for a named one. */
  name(setting: BootSetting): string {
    const [variable, option] = NAMES[setting];
    const connection = this.place?.connection ?? DEFAULT_CONNECTION;
    return connection === DEFAULT_CONNECTION ? variable : `connections.${connection}.${option}`;
  }

  /** The settings that say where the server is. */
  get address(): string {
    switch (this.mode) {
      case 'sentinel':
        return this.name('sentinelHosts');
      case 'cluster':
        return this.name('clusterNodes');
      case 'unix':
        return this.name('url');
      default:
        return `${this.name('url')} or ${this.name('host')}`;
    }
  }

  /** The settings that say where the server listens: {@link address}, with the port where that is one of its own. */
  get listener(): string {
    const hasPort = this.usesUrl && this.mode !== 'unix';
    return hasPort ? `${this.address} and ${this.name('port')}` : this.address;
  }

  /** What switches TLS on. */
  get tlsOn(): string {
    return this.usesUrl
      ? `rediss:// in ${this.name('url')} or ${this.name('tls')}=true`
      : this.tlsSwitch('true');
  }

  /** What switches TLS off. */
  get tlsOff(): string {
    return this.usesUrl
      ? `redis:// instead of rediss:// in ${this.name('url')} (or ${this.name('tls')}=false)`
      : this.tlsSwitch('false');
  }

  private get mode(): ResolvedConnection['mode'] | undefined {
    return this.place?.target?.mode;
  }

  private get usesUrl(): boolean {
    return this.mode === undefined || this.mode === 'single' || this.mode === 'unix';
  }

  private tlsSwitch(value: string): string {
    return `${this.name('tls')}=${value}`;
  }
}
