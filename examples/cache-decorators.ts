import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { Cacheable, CacheConfig, CacheModule, Caching } from 'rednest/cache';
import { EmbeddedRedis } from 'rednest/embedded';

interface Article {
  readonly id: string;
  readonly title: string;
}

// #region service
@Injectable()
@CacheConfig({ cache: 'articles', ttl: 'medium', grace: '1h' })
class Articles {
  private readonly stored = new Map<string, Article>([['a1', { id: 'a1', title: 'Dune' }]]);

  @Cacheable({ key: (id: string) => ['article', id], notFoundTtl: 'short' })
  async find(id: string): Promise<Article | null> {
    console.log(`reading ${id} from the store`);
    return this.stored.get(id) ?? null;
  }

  @Cacheable({ key: 'titles', tags: ['lists'] })
  async titles(): Promise<string[]> {
    return [...this.stored.values()].map(({ title }) => title);
  }

  @Caching({
    put: { key: (article: Article) => ['article', article.id] },
    evict: { tags: ['lists'] },
  })
  async save(article: Article): Promise<Article> {
    this.stored.set(article.id, article);
    return article;
  }
}
// #endregion

@Module({
  imports: [
    RedisModule.forRoot({ app: 'articles', embedded: EmbeddedRedis }),
    CacheModule.forRoot(),
    CacheModule.forFeature('articles'),
  ],
  providers: [Articles],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const articles = app.get(Articles);
await Promise.all([articles.find('a1'), articles.find('a1')]);
console.log(await articles.titles());
await articles.save({ id: 'a1', title: 'Dune Messiah' });
console.log(await articles.find('a1'), await articles.titles());
await app.close();
