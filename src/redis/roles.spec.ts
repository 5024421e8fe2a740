import { describe, expect, it } from '@jest/globals';
import { limitsOf, ROLE_SETTINGS, type ConnectionRole } from './roles.js';

const CONNECTION = { connectTimeoutMs: 2000, commandTimeoutMs: 1500, socketTimeoutMs: 2000 };

const names = (...roles: ConnectionRole[]) => roles;

describe('ROLE_SETTINGS', () => {
  it.each(names('command', 'producer', 'transaction'))('lets %s fail fast and never resend', (role) => {
    expect(ROLE_SETTINGS[role]).toMatchObject({
      maxRetriesPerRequest: 0,
      commandTimeout: true,
      socketTimeoutMs: 'default',
    });
  });

  it.each(names('worker', 'reader'))(
    'lets %s block, and counts silence from the end of the block',
    (role) => {
      expect(ROLE_SETTINGS[role]).toEqual({
        maxRetriesPerRequest: null,
        commandTimeout: false,
        socketTimeoutMs: 3_000,
        blocks: true,
      });
    },
  );

  it('receives invalidations over RESP2', () => {
    expect(ROLE_SETTINGS.tracking.protocol).toBe(2);
    expect(ROLE_SETTINGS.subscriber.protocol).toBeUndefined();
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(ROLE_SETTINGS)).toBe(true);
    expect(Object.values(ROLE_SETTINGS).every((settings) => Object.isFrozen(settings))).toBe(true);
  });
});

describe('limitsOf', () => {
  it('takes what is set for the role, else what the role has, else the connection', () => {
    const roles = {
      worker: { socketTimeoutMs: 6_000, reconnectDelayMs: 5_000 },
      command: { commandTimeoutMs: 200 },
    };
    const connection = { ...CONNECTION, roles };

    expect(limitsOf('worker', connection)).toEqual({
      connectTimeoutMs: 2000,
      commandTimeoutMs: undefined,
      socketTimeoutMs: 6_000,
      reconnectDelayMs: 5_000,
    });
    expect(limitsOf('command', connection)).toMatchObject({ commandTimeoutMs: 200, socketTimeoutMs: 2000 });
    expect(limitsOf('producer', connection)).toMatchObject({
      commandTimeoutMs: 1500,
      reconnectDelayMs: 1000,
    });
  });
});
