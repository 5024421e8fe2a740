import type { RedisClient } from 'rednest';
import {
  LocalLimiter,
  type Change,
  type EvaluationMode,
} from '../../../src/rate-limit/local/local-limiter.js';
import { LocalSlots } from '../../../src/rate-limit/local/local-slots.js';
import { ADJUST, CONSUME, HOLD_SLOT } from '../../../src/rate-limit/rate-limit.scripts.js';
import {
  adjustArguments,
  adjustKeys,
  consumeArguments,
  keysOf,
} from '../../../src/rate-limit/script-arguments.js';
import type { Demand } from '../../../src/rate-limit/decision.js';
import { uniquePrefix } from '../prefix.js';

/** The limiter with a clock that the test sets. Replies are those of the scripts. */
export interface Subject {
  evaluate(
    nowUs: number,
    mode: EvaluationMode,
    demands: readonly Demand[],
    maxWaitUs: number,
  ): Promise<number[]>;
  adjust(nowUs: number, change: Change, demands: readonly Demand[]): Promise<number[]>;
  /** Takes or renews a slot of a concurrency limit. */
  hold(nowUs: number, key: string, token: string, limit: number, leaseUs: number): Promise<boolean>;
}

/**
 * The shipped text with another clock: the time is the end of the last key. Times to live are an hour
 * longer, so that the machine's own clock plays no part.
 */
function withClock(lua: string): string {
  const clock = "local function server_now() return tonumber(KEYS[#KEYS]:match('%d+$')) end\n";
  const patient = `local server = redis
local redis = setmetatable({ call = function(...)
local a = { ... }
if a[1] == 'SET' then a[5] = a[5] + 3600000 end
if a[1] == 'PEXPIRE' then a[3] = a[3] + 3600000 end
return server.call(unpack(a))
end }, { __index = server })
`;
  const swapped = lua.replace(/local function server_now\(\)[\s\S]*?\nend\n/, () => clock);
  if (swapped === lua) throw new Error('the script has no clock to replace');
  return patient + swapped;
}

/** The scripts on a server. */
export function scriptSubject(redis: RedisClient): Subject {
  const prefix = `${uniquePrefix()}:rl:{`;
  const consume = withClock(CONSUME.lua);
  const adjust = withClock(ADJUST.lua);
  const hold = withClock(HOLD_SLOT.lua);
  const run = async (
    lua: string,
    keys: string[],
    nowUs: number,
    args: (string | number)[],
  ): Promise<number[]> => {
    const clock = `${keys[0]!.slice(0, keys[0]!.indexOf('}') + 1)}:${nowUs}`;
    return (await redis.eval(lua, keys.length + 1, ...keys, clock, ...args)) as number[];
  };
  return {
    evaluate: (nowUs, mode, demands, maxWaitUs) =>
      run(consume, keysOf(prefix, demands), nowUs, consumeArguments(mode, maxWaitUs, demands)),
    adjust: (nowUs, change, demands) =>
      run(adjust, adjustKeys(change, prefix, demands), nowUs, adjustArguments(change, '', demands)),
    hold: async (nowUs, key, token, limit, leaseUs) =>
      (await run(hold, [`${prefix}${key}}:n`], nowUs, [`${token}:${leaseUs}`, limit, leaseUs]))[0] === 1,
  };
}

/** The limiter in memory. */
export function memorySubject(): Subject {
  let clockUs = 0;
  const at = (nowUs: number): LocalLimiter => {
    clockUs = nowUs;
    return limiter;
  };
  const limiter = new LocalLimiter({ instances: 1, maxCounters: 10_000 }, () => clockUs);
  const slots = new LocalSlots(() => clockUs / 1000);
  return {
    evaluate: async (nowUs, mode, demands, maxWaitUs) => at(nowUs).evaluate(mode, demands, maxWaitUs),
    adjust: async (nowUs, change, demands) => at(nowUs).adjust(change, demands),
    hold: async (nowUs, key, token, limit, leaseUs) => {
      at(nowUs);
      return slots.hold(key, token, limit, leaseUs / 1000).granted;
    },
  };
}
