export { CacheTestbed } from './cache-testbed.js';
export { CacheTestingModule, type CacheTestingOptions } from './cache-testing.module.js';
