type Method = (...args: never[]) => unknown;

/** A method with the value of the metadata that marks it. */
export interface MarkedMethod<Mark> {
  readonly key: string | symbol;
  readonly mark: Mark;
  readonly method: Method;
}

/**
 * Methods with a mark, inherited ones included. An override runs in place of what it overrides, by the
 * mark it has itself or else the one its parent has.
 */
export function* markedMethods<Mark>(instance: object, metadata: symbol): Generator<MarkedMethod<Mark>> {
  const found = new Set<string | symbol>();
  for (
    let prototype: object | null = Object.getPrototypeOf(instance) as object;
    prototype && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const key of Reflect.ownKeys(prototype)) {
      const value: unknown = Object.getOwnPropertyDescriptor(prototype, key)?.value;
      if (typeof value !== 'function' || !Reflect.hasMetadata(metadata, value) || found.has(key)) continue;
      found.add(key);
      const method = (instance as Record<string | symbol, Method>)[key]!;
      yield { key, mark: Reflect.getMetadata(metadata, value) as Mark, method: method.bind(instance) };
    }
  }
}
