/** What may stand in a script's KEYS or ARGV. */
export type ScriptArguments = readonly (string | number | Buffer)[];

/**
 * A Lua script with the types of its keys, arguments and reply. Written as a `.lua` file and
 * generated into a module; run it with {@link RedisExecutor.script}.
 */
export interface LuaScript<Keys extends ScriptArguments, Args extends ScriptArguments, Reply> {
  /** File name without ending. */
  readonly name: string;
  /** Lower-case hexadecimal SHA-1 of {@link lua}, the server's name for it. */
  readonly sha1: string;
  /** Source as the server gets it. */
  readonly lua: string;
  /** Carries the types; never set. */
  readonly types?: { keys: Keys; args: Args; reply: Reply };
}
