import type { Properties } from './context-adapter.js';

/** The value as an object, if it is one. */
export function objectOf(value: unknown): Properties | undefined {
  return typeof value === 'object' && value !== null ? (value as Properties) : undefined;
}

/** The value as text, if it is a text that is not empty, or a number. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined;
}

/** A header of a request whose names are in lower case, as Node has them. */
export function headerOf(request: Properties | undefined, name: string): string | undefined {
  return textOf(objectOf(request?.['headers'])?.[name]);
}

/** Address of the other side of a request's or client's socket. */
export function socketAddress(socket: unknown): string | undefined {
  return textOf(objectOf(socket)?.['remoteAddress']);
}
