/** What every user of Rednest needs: a login, a name, PING, and its own keys. */
const BASE = '~shop:* resetchannels -@all +@connection';

/**
 * The rights that single capabilities need, on the keys of an application named `shop`.
 * `docs/topologies.md` shows the same lines; a test holds them together.
 */
export const CAPABILITY_ACLS = Object.freeze({
  'commands and transactions': `${BASE} +@read +@write +@transaction -@dangerous`,
  'rate limits': `${BASE} +@read +@write +@scripting -@dangerous +time`,
  cache: `${BASE} &shop:* &__redis__:invalidate +@read +@write +@scripting -@dangerous +info +time +publish +subscribe +unsubscribe`,
  queues: `${BASE} +@read +@write +@transaction +@scripting -@dangerous +info +time`,
});

export type AclCapability = keyof typeof CAPABILITY_ACLS;
