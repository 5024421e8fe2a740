import { describe, expect, it } from '@jest/globals';
import { ROLE_SETTINGS, type ConnectionRole } from './roles.js';

const names = (...roles: ConnectionRole[]) => roles;

describe('ROLE_SETTINGS', () => {
  it.each(names('command', 'producer', 'transaction'))('lets %s fail fast and never resend', (role) => {
    expect(ROLE_SETTINGS[role]).toMatchObject({
      maxRetriesPerRequest: 0,
      commandTimeout: true,
      socketTimeoutMs: 'default',
    });
  });

  it.each(names('worker', 'reader'))('lets %s block longer than a worker does', (role) => {
    const { socketTimeoutMs, ...rest } = ROLE_SETTINGS[role];

    expect(rest).toEqual({ maxRetriesPerRequest: null, commandTimeout: false });
    expect(socketTimeoutMs).toBeGreaterThan(10_000);
  });

  it('receives invalidations over RESP2', () => {
    expect(ROLE_SETTINGS.tracking.protocol).toBe(2);
    expect(ROLE_SETTINGS.subscriber.protocol).toBeUndefined();
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(ROLE_SETTINGS)).toBe(true);
    expect(Object.values(ROLE_SETTINGS).every((settings) => Object.isFrozen(settings))).toBe(true);
  });
});
