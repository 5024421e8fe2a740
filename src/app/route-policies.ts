import type { ExecutionContext } from '@nestjs/common';
import type { RateLimitModuleOptions } from 'rednest/rate-limit';

/** Requests of all members of a tenant together, as a multiple of what one client may send. */
const TENANT_FACTOR = 10;

/** Every route is limited by client address, and by tenant where the path names one. */
export function routePolicies(limit: number): RateLimitModuleOptions['defaultPolicies'] {
  return [
    { name: 'client', limit, window: '1m', key: 'ip' },
    { name: 'tenant', limit: limit * TENANT_FACTOR, window: '1m', key: tenantOf },
  ];
}

function tenantOf(context: ExecutionContext): string | undefined {
  const { params } = context.switchToHttp().getRequest<{ params?: { tenantId?: string } }>();
  return params?.tenantId;
}
