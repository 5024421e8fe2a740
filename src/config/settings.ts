import { assertKeyPrefix } from '../common/index.js';
import type { EnvironmentVariables, ReadVariables } from './environment.js';
import { collect, type Labelled } from './faults.js';
import type { BootMode, Environment, RednestOptions } from './options.js';
import { pickOption, type CheckedOptions } from './options-reader.js';
import { CONFIGURATION_DEFAULTS } from './resolved.js';
import { durationOption } from './timeouts.js';
import { MAX_PHASE_MS } from './variables.js';

/** What the steps of one resolution share. */
export interface Resolution {
  readonly settings: CheckedOptions<RednestOptions>;
  readonly env: EnvironmentVariables;
  readonly variables: ReadVariables;
  readonly faults: string[];
  readonly warnings: string[];
}

/** Finds out what kind of place this is; whatever is not known to be harmless counts as production. */
export function resolveEnvironment({ settings, variables, warnings }: Resolution): Environment {
  const option = pickOption(settings, 'environment');
  if (option) return option.value ?? 'production';
  const name = variables.NODE_ENV?.value;
  if (name === undefined) return variables.NODE_ENV ? 'production' : 'development';
  if (name === 'development' || name === 'test' || name === 'production') return name;
  warnings.push('NODE_ENV is none of development, test and production; it counts as production');
  return 'production';
}

/** The application's name; production without one is worth a warning. */
export function resolveApp(
  { settings, variables, faults, warnings }: Resolution,
  environment: Environment,
): string {
  const item = pickOption(settings, 'app') ?? variables.REDIS_APP_NAME;
  if (!item && environment === 'production') {
    warnings.push(
      `REDIS_APP_NAME is not set; clients and keys are named "${CONFIGURATION_DEFAULTS.app}", ` +
        'which other applications on the same server may use too',
    );
  }
  return checkedName(item, CONFIGURATION_DEFAULTS.app, faults);
}

/** The start of every key: its own setting, else the application's name. */
export function resolvePrefix({ settings, variables, faults }: Resolution, app: string): string {
  return checkedName(pickOption(settings, 'keyPrefix') ?? variables.REDIS_KEY_PREFIX, app, faults);
}

function checkedName(item: Labelled<string> | undefined, fallback: string, faults: string[]): string {
  if (item?.value === undefined) return fallback;
  return collect(faults, () => assertKeyPrefix(item.value!, item.label)) ?? fallback;
}

/** What start-up does while a server is not ready. */
export function resolveBootMode({ settings, variables }: Resolution): BootMode {
  const item = pickOption(settings, 'boot') ?? variables.REDIS_BOOT_MODE;
  return item?.value ?? CONFIGURATION_DEFAULTS.bootMode;
}

/** Length of boot or shutdown in milliseconds. */
export function resolvePhase(
  { settings, variables, faults }: Resolution,
  option: 'bootTimeout' | 'shutdownTimeout',
  variable: 'REDIS_BOOT_TIMEOUT_MS' | 'REDIS_SHUTDOWN_TIMEOUT_MS',
): number {
  const item = durationOption(pickOption(settings, option), MAX_PHASE_MS, faults) ?? variables[variable];
  return item?.value ?? CONFIGURATION_DEFAULTS[`${option}Ms`];
}
