import { Controller, Get, Module, Param, type ExecutionContext } from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { CacheModule, HttpCache, HttpCacheInterceptor } from 'rednest/cache';
import { EmbeddedRedis } from 'rednest/embedded';

// #region controller
/** Whose response it is; a guard has checked the token before. */
function user(context: ExecutionContext): string | undefined {
  const request = context.switchToHttp().getRequest<{ headers: { authorization?: string } }>();
  return request.headers.authorization;
}

@Controller('articles')
class ArticlesController {
  @Get(':id')
  @HttpCache({ ttl: 'medium', grace: '1h', vary: ['accept-language'], tags: ['articles'] })
  find(@Param('id') id: string): { id: string; at: string } {
    return { id, at: new Date().toISOString() };
  }

  @Get(':id/notes')
  @HttpCache({ principal: user, maxAge: 0 })
  notes(@Param('id') id: string): { id: string; notes: string[] } {
    return { id, notes: [] };
  }
}

@Module({
  imports: [RedisModule.forRoot({ app: 'articles', embedded: EmbeddedRedis }), CacheModule.forRoot()],
  controllers: [ArticlesController],
  providers: [{ provide: APP_INTERCEPTOR, useClass: HttpCacheInterceptor }],
})
class AppModule {}
// #endregion

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const get = async (path: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${await app.getUrl()}/articles/${path}`, { headers });
  const shown = ['x-cache', 'cache-control'].map((name) => response.headers.get(name));
  console.log(`${response.status} ${path}: ${shown.join(', ')}`);
  return response;
};
const first = await get('a1');
await new Promise((resolve) => setTimeout(resolve, 50));
await get('a1');
await get('a1', { 'if-none-match': first.headers.get('etag') ?? '' });
await get('a1', { cookie: 'session=1' });
await get('a1/notes', { authorization: 'Bearer ada' });
await app.close();
