import {
  Body,
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  Sse,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import type { CanActivate, ExecutionContext, MessageEvent } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import {
  Concurrency,
  RateLimit,
  RateLimitGuard,
  RateLimitInfo,
  RateLimitInterceptor,
  RateLimitModule,
  RateLimitStreamGuard,
  SkipRateLimit,
  type RateLimitDecision,
} from 'rednest/rate-limit';
import { interval, map, type Observable } from 'rxjs';

/** Stands for the login of an application: sets `request.user`. */
@Injectable()
class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string>; user?: object }>();
    const id = request.headers['x-user'];
    if (!id) throw new UnauthorizedException();
    request.user = { id, tenantId: 'acme' };
    return true;
  }
}

// #region routes
@Controller()
class Routes {
  // Wrong passwords only: five an hour and address, then blocked for longer each time.
  @Post('login')
  @RateLimit({ name: 'login', limit: 5, window: '1h', countOnly: 'failures', block: { for: ['5m', '1h'] } })
  login(@Body() { password }: { password?: string }): string {
    if (password !== 'secret') throw new UnauthorizedException();
    return 'welcome';
  }

  // By address before the login is checked, by user and tenant after it: a global guard does not know them yet.
  @Get('reports')
  @UseGuards(AuthGuard)
  @RateLimit(
    { name: 'address', limit: 100, window: '1m' },
    { name: 'user', limit: 2, window: '1m', key: 'user' },
    { name: 'tenant', limit: 50, window: '1m', key: 'tenant' },
  )
  reports(@RateLimitInfo() info?: RateLimitDecision): { left: number[] } {
    return { left: info!.policies.map(({ remaining }) => remaining) };
  }

  // Four at the same time per user, over all processes.
  @Get('export')
  @UseGuards(AuthGuard)
  @Concurrency({ name: 'exports', limit: 4, key: 'user', lease: '30s' })
  export(): string {
    return 'id;name';
  }

  // A stream is let in by a guard: after its head is sent, nothing can refuse it any more.
  @Sse('progress')
  @UseGuards(AuthGuard, RateLimitStreamGuard)
  @Concurrency({ name: 'streams', limit: 2, key: 'user' })
  progress(): Observable<MessageEvent> {
    return interval(1000).pipe(map((second) => ({ data: { second } })));
  }

  // A batch costs as much as it holds.
  @Post('batch')
  @RateLimit({ name: 'items', limit: 1000, window: '1h', cost: itemsOf })
  batch(): string {
    return 'stored';
  }

  @Get('status')
  @SkipRateLimit()
  status(): string {
    return 'ok';
  }
}

function itemsOf(context: ExecutionContext): number {
  const { body } = context.switchToHttp().getRequest<{ body?: { items?: unknown[] } }>();
  return body?.items?.length ?? 1;
}
// #endregion

// #region module
@Module({
  imports: [
    RedisModule.forRoot({ app: 'reports', embedded: EmbeddedRedis }),
    RateLimitModule.forRoot({ defaultPolicies: [{ name: 'client', limit: 300, window: '1m' }] }),
  ],
  controllers: [Routes],
  providers: [
    // Before authentication, and after it.
    { provide: APP_GUARD, useClass: RateLimitGuard },
    { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
  ],
})
class AppModule {}
// #endregion

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const url = await app.getUrl();

for (let request = 1; request <= 3; request += 1) {
  const { status, headers } = await fetch(`${url}/reports`, { headers: { 'x-user': 'ann' } });
  console.log(`request ${request}: ${status}, RateLimit: ${headers.get('ratelimit')}`);
}
const refused = await fetch(`${url}/reports`, { headers: { 'x-user': 'ann' } });
console.log(JSON.stringify(await refused.json()));

await app.close();
