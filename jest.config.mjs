// Three projects, one habit: a test's name is a guarantee.
//   unit      pure or local to one process; no real parts
//   contract  an adapter or an embedded part held to its promise, against the real thing
//   e2e       the whole road on real Kafka, ClickHouse, Redis and S3
const project = (name, testMatch, more = {}) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  testMatch,
  testPathIgnorePatterns: ['/node_modules/', '/.local/'],
  modulePathIgnorePatterns: ['<rootDir>/.local/'],
  extensionsToTreatAsEsm: ['.ts'],
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript' },
          target: 'esnext',
          experimental: { keepImportAttributes: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  ...more,
});

export default {
  testTimeout: 30_000,
  // Where nothing else is said, as many processes as cores. Modules of a test file are never forgotten by its process, and the
  // collector of one that holds all of them looks through a gigabyte each time: it begins anew before that.
  maxWorkers: '100%',
  workerIdleMemoryLimit: '300MB',
  projects: [
    project('unit', ['**/*.test.ts'], {
      testPathIgnorePatterns: ['/node_modules/', '/.local/', '\\.(contract|e2e)\\.test\\.ts$'],
    }),
    project('contract', ['**/*.contract.test.ts']),
    project('e2e', ['**/*.e2e.test.ts']),
  ],
};
