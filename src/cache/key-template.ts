import { ConfigurationError } from '../common/index.js';
import { EMPTY_TEXT } from './cache-key.js';

type Piece = string | { readonly index: number; readonly path: readonly string[]; readonly source: string };

const PLACEHOLDER = /\{(\d+)((?:\.[A-Za-z_$][\w$]*)*)\}/g;

/** A text with placeholders for arguments: `{0}` the first one, `{1.id}` a property of the second. */
export class KeyTemplate {
  private readonly parts: readonly (readonly Piece[])[];

  /**
   * @param where shown in errors, such as `key of UsersService.find`
   * @throws {ConfigurationError} when two placeholders share a part, so that their values could run together
   */
  constructor(
    text: string,
    private readonly where: string,
  ) {
    this.parts = text.split(':').map((part) => parse(part, where));
  }

  /**
   * The parts of a key. A value with a `:` in it stays in its part.
   *
   * @throws {ConfigurationError} when a placeholder has no value
   */
  key(args: readonly unknown[]): string[] {
    return this.fillParts(args).map((part) => part || EMPTY_TEXT);
  }

  /**
   * The filled text, for tags. One value stands in it as it is, as somebody would write the tag by hand; of
   * several, the `:` of one could be taken for the one between them, and is written as `%3A`.
   *
   * @throws {ConfigurationError} when a placeholder has no value
   */
  text(args: readonly unknown[]): string {
    const parts = this.fillParts(args);
    const isFilled = (part: readonly Piece[]): boolean => part.some((piece) => typeof piece !== 'string');
    if (this.parts.filter(isFilled).length < 2) return parts.join(':');
    return parts.map((part, index) => (isFilled(this.parts[index]!) ? escape(part) : part)).join(':');
  }

  private fillParts(args: readonly unknown[]): string[] {
    return this.parts.map((pieces) => pieces.map((piece) => this.fill(piece, args)).join(''));
  }

  private fill(piece: Piece, args: readonly unknown[]): string {
    if (typeof piece === 'string') return piece;
    let value: unknown = args[piece.index];
    for (const name of piece.path) value = (value as Record<string, unknown> | null | undefined)?.[name];
    if (isKeyPart(value)) return String(value);
    const kind = value === null ? 'null' : typeof value;
    throw new ConfigurationError(
      `${piece.source} in the ${this.where} is ${kind}; it has to be text, a number or a boolean`,
    );
  }
}

function escape(part: string): string {
  return part.replaceAll('%', '%25').replaceAll(':', '%3A');
}

/** Whether a value may stand in a key: it has one text, and nothing else has the same by accident. */
export function isKeyPart(value: unknown): value is string | number | bigint | boolean {
  return (
    typeof value === 'string' ||
    typeof value === 'bigint' ||
    typeof value === 'boolean' ||
    (typeof value === 'number' && Number.isFinite(value))
  );
}

function parse(part: string, where: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  let placeholders = 0;
  for (const match of part.matchAll(PLACEHOLDER)) {
    const [source, index, path = ''] = match;
    if (match.index > end) pieces.push(part.slice(end, match.index));
    pieces.push({ index: Number(index), path: path.split('.').slice(1), source });
    end = match.index + source.length;
    placeholders += 1;
  }
  if (end < part.length) pieces.push(part.slice(end));
  if (placeholders > 1) {
    throw new ConfigurationError(
      `"${part}" in the ${where} has two placeholders, whose values could run together; put a ":" between them`,
    );
  }
  return pieces;
}
