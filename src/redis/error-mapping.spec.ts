import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, type Outcome } from '../common/index.js';
import { safeReply, toCallError } from './error-mapping.js';
import { RedisUnavailableError } from './redis.errors.js';

const CALL = { connection: 'default', operation: 'probe.run', deadlineMs: 250 };

/** An error as the client throws it: the command with its arguments is attached. */
function clientError(name: string, message: string, code?: string): Error {
  const command = { name: 'set', args: ['canary-key', 'canary-value'] };
  return Object.assign(new Error(message), { name, command, args: ['canary'] }, code ? { code } : {});
}

const reply = (message: string) => clientError('ReplyError', message);

describe('toCallError', () => {
  it.each<[Error, string, Outcome]>([
    [reply('WRONGTYPE Operation against a key'), 'ERR_REDIS_COMMAND', 'refused'],
    [reply('ERR syntax error'), 'ERR_REDIS_COMMAND', 'refused'],
    [reply('OOM command not allowed'), 'ERR_REDIS_COMMAND', 'refused'],
    [reply('READONLY You can not write'), 'ERR_REDIS_COMMAND', 'refused'],
    [reply('lower case reply'), 'ERR_REDIS_COMMAND', 'refused'],
    [reply('LOADING Redis is loading'), 'ERR_REDIS_UNAVAILABLE', 'refused'],
    [reply('CLUSTERDOWN The cluster is down'), 'ERR_REDIS_UNAVAILABLE', 'refused'],
    [reply('MASTERDOWN Link with MASTER is down'), 'ERR_REDIS_UNAVAILABLE', 'refused'],
    [reply('TRYAGAIN Multiple keys'), 'ERR_REDIS_UNAVAILABLE', 'refused'],
    [clientError('Error', 'Command timed out'), 'ERR_REDIS_TIMEOUT', 'unknown'],
    [
      clientError('Error', "Stream isn't writeable and enableOfflineQueue options is false"),
      'ERR_REDIS_UNAVAILABLE',
      'not-sent',
    ],
    [clientError('MaxRetriesPerRequestError', 'Reached the limit'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('AbortError', 'Command aborted'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('ClusterAllFailedError', 'Failed to refresh'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'Connection is closed.'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'Socket timeout. Expecting data'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'read ECONNRESET', 'ECONNRESET'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'getaddrinfo', 'EAI_AGAIN'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'x', 'ERR_TLS_CERT_ALTNAME_INVALID'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [clientError('Error', 'x', 'ERR_STREAM_DESTROYED'), 'ERR_REDIS_UNAVAILABLE', 'unknown'],
    [new TypeError('undefined is not a function'), 'ERR_REDIS_COMMAND', 'unknown'],
  ])('maps %p to %s, %s', (error, code, outcome) => {
    expect(toCallError(error, CALL)).toMatchObject({
      code,
      outcome,
      connection: 'default',
      operation: 'probe.run',
    });
  });

  it.each(['MOVED 1 a:1', 'ASK 1 a:1', 'TRYAGAIN later', 'CLUSTERDOWN no'])(
    'knows that a command redirected without end (%s) was refused each time',
    (last) => {
      const error = new Error(`Too many Cluster redirections. Last error: ReplyError: ${last}`);

      expect(toCallError(error, CALL)).toMatchObject({ code: 'ERR_REDIS_UNAVAILABLE', outcome: 'refused' });
    },
  );

  it('does not take a mistake in the call for a lost connection', () => {
    const mistake = new ConfigurationError('A key part is empty');

    expect(toCallError(mistake, CALL).code).toBe('ERR_REDIS_COMMAND');
  });

  it.each([undefined, null, 'text', 42, {}, { name: 1, message: {}, code: [] }, [], Object.create(null)])(
    'makes an error of %p',
    (thrown) => {
      const error = toCallError(thrown, CALL);

      expect(error.code).toBe('ERR_REDIS_COMMAND');
      expect(error.message).toContain('unknown error');
    },
  );

  it('passes its own errors through unchanged', () => {
    const own = new RedisUnavailableError('down', { ...CALL, outcome: 'not-sent' });

    expect(toCallError(own, CALL)).toBe(own);
  });

  it('names the reply and the deadline', () => {
    expect(toCallError(reply('NOPERM no'), CALL)).toMatchObject({ reply: 'NOPERM' });
    expect(toCallError(clientError('Error', 'Command timed out'), CALL)).toMatchObject({ deadlineMs: 250 });
  });

  it.each([
    reply("ERR unknown command 'canary', with args beginning with: 'canary' 'canary' "),
    reply('ERR unknown command `canary`, with args beginning with: `canary`, '),
    reply("ERR Unknown subcommand or wrong number of arguments for 'it's canary'. Try X HELP."),
    reply("ERR Can't do that with 'canary'"),
    reply("ERR value 'canary"),
    reply('ERR "canary\'" and \'"canary"\''),
    reply("ERR 'multi\nline canary' x"),
    clientError('MaxRetriesPerRequestError', 'canary'),
    clientError('Error', 'connect ECONNREFUSED canary', 'ECONNREFUSED'),
    new SyntaxError('Unexpected token \'c\', "canary is" is not valid JSON'),
    Object.assign(new Error('x'), { cause: 'canary', lastNodeError: reply('canary') }),
  ])('lets no argument of %p survive', (error) => {
    const mapped = toCallError(error, CALL);

    expect(inspect(mapped, { depth: 10, showHidden: true }).replace(/\n {4}at .*/g, '')).not.toContain(
      'canary',
    );
    expect(JSON.stringify(mapped)).not.toContain('canary');
    expect(mapped.cause).toBeUndefined();
  });
});

describe('safeReply', () => {
  it('keeps what helps', () => {
    expect(safeReply("ERR wrong number of arguments for 'set' command")).toBe(
      "ERR wrong number of arguments for '...' command",
    );
    expect(safeReply("ERR Can't save in background")).toBe("ERR Can't save in background");
  });

  it('bounds the length and writes one line', () => {
    expect(safeReply(`ERR a\r\n b${'x'.repeat(5000)}`)).toMatch(/^ERR a b[x]{0,200}$/);
    expect(safeReply('x'.repeat(5000))).toHaveLength(200);
  });
});
