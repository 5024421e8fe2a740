/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^rednest$': '<rootDir>/src/index.ts',
    '^rednest/(.*)$': '<rootDir>/src/$1/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // Mercurius brings a copy that is ESM only and is loaded by require, which Jest cannot do on Node 20.
    '^content-disposition$': '<rootDir>/node_modules/content-disposition/dist/index.js',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        module: { type: 'es6' },
        sourceMaps: 'inline',
        jsc: {
          target: 'es2022',
          keepClassNames: true,
          parser: { syntax: 'typescript', decorators: true },
          transform: {
            legacyDecorator: true,
            decoratorMetadata: true,
            useDefineForClassFields: false,
          },
        },
      },
    ],
  },
  testTimeout: 15_000,
  maxWorkers: 2,
  // Modules of ended files stay in the heap of a worker. A large one takes longer to give back than a
  // worker is allowed to take to exit, which then looks like an open handle; a worker begins anew before that.
  workerIdleMemoryLimit: '250MB',
};
