import { ConfigurationError, isRednestError } from '../common/index.js';
import { EMPTY_TEXT, type CacheKey } from './cache-key.js';
import type { CacheService } from './cache.service.js';
import { resolveEntryOptions, type CacheEntryOptions } from './entry.options.js';
import { isKeyPart, KeyTemplate } from './key-template.js';

type OfArguments<T> = (...args: unknown[]) => T;

/** Options of any caching decorator once the compiler has compared them with the method. */
export interface RecordedOptions extends Omit<CacheEntryOptions, 'tags'> {
  readonly cache?: string;
  readonly key?: string | OfArguments<CacheKey>;
  readonly tags?: readonly string[] | OfArguments<readonly string[]>;
  readonly condition?: OfArguments<boolean>;
  readonly unless?: OfArguments<boolean>;
  readonly allEntries?: boolean;
  readonly beforeInvocation?: boolean;
}

/** What one decorator recorded. */
export interface MethodOperation {
  readonly kind: 'cacheable' | 'put' | 'evict';
  readonly options: RecordedOptions;
}

/** A method that decorators stand on. */
export interface MethodPlace {
  readonly instance: object;
  /** Class and method, for errors and keys. */
  readonly where: string;
  readonly method: (...args: unknown[]) => unknown;
}

/** What a decorator says about one call, with its templates parsed and its options checked. */
export class MethodPlan {
  private readonly entry: CacheEntryOptions;
  private readonly keyTemplate: KeyTemplate | undefined;
  private readonly tagTemplates: readonly KeyTemplate[] | undefined;

  /** @throws {ConfigurationError} when an option is unusable */
  constructor(
    private readonly place: MethodPlace,
    private readonly options: RecordedOptions,
    readonly cache: CacheService,
  ) {
    const { key, tags } = options;
    this.entry = checkedEntry(options, place.where);
    this.keyTemplate = typeof key === 'string' ? new KeyTemplate(key, `key of ${place.where}`) : undefined;
    this.tagTemplates = Array.isArray(tags)
      ? tags.map((tag: string) => new KeyTemplate(tag, `tags of ${place.where}`))
      : undefined;
  }

  /** Whether the decorator applies to a call. */
  applies(args: readonly unknown[]): boolean {
    return this.options.condition?.apply(this.place.instance, [...args]) ?? true;
  }

  /** Whether a result is not to be kept. */
  isUnwanted(result: unknown, args: readonly unknown[]): boolean {
    return this.options.unless?.apply(this.place.instance, [result, ...args]) ?? false;
  }

  /** @throws {ConfigurationError} when the arguments give no key */
  key(args: readonly unknown[]): CacheKey {
    const { key } = this.options;
    if (typeof key === 'function') return key.apply(this.place.instance, [...args]);
    return this.keyTemplate?.key(args) ?? defaultKey(this.place.where, args);
  }

  /** @throws {ConfigurationError} when a placeholder has no value */
  tags(args: readonly unknown[]): readonly string[] {
    const { tags } = this.options;
    if (typeof tags === 'function') return tags.apply(this.place.instance, [...args]);
    return this.tagTemplates?.map((template) => template.text(args)) ?? [];
  }

  /** Options of the entry a call is about. */
  entryOptions(args: readonly unknown[]): CacheEntryOptions {
    return this.options.tags === undefined ? this.entry : { ...this.entry, tags: this.tags(args) };
  }
}

/** Options of decorators that are none of an entry. */
const OWN_OPTIONS = new Set([
  'cache',
  'key',
  'tags',
  'condition',
  'unless',
  'allEntries',
  'beforeInvocation',
]);

/** The options of an entry among those of a decorator. */
function checkedEntry(options: RecordedOptions, where: string): CacheEntryOptions {
  const all = Object.entries(options).filter(([name]) => !OWN_OPTIONS.has(name));
  const entry: CacheEntryOptions = Object.fromEntries(all);
  try {
    // What `staleWhileRevalidate: true` needs may come from the cache, which is not known here.
    resolveEntryOptions({ grace: 1, ...entry });
  } catch (error) {
    if (!isRednestError(error, 'ERR_CONFIGURATION')) throw error;
    throw new ConfigurationError(`${where}: ${error.message}`, { cause: error });
  }
  return entry;
}

function defaultKey(where: string, args: readonly unknown[]): CacheKey {
  let length = args.length;
  while (length > 0 && args[length - 1] === undefined) length -= 1;
  const parts = args.slice(0, length);
  if (parts.every(isKeyPart)) return [where, ...parts.map((part) => String(part) || EMPTY_TEXT)];
  throw new ConfigurationError(
    `${where} was called with arguments that are not text, numbers or booleans; give its decorator a key`,
  );
}
