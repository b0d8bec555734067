// The few structural truths of the repository. When one is broken often, change the code or the truth, not this file's length.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const root = join(import.meta.dirname, '..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const isTest = (file: string): boolean =>
  /\.(test|contract)\.ts$|\.contract\.test\.ts$|\/(testing|tests?|fixtures)\//.test(file) ||
  file.startsWith('tools/e2e/');
const sources = files.filter((file) => /\.(ts|mjs)$/.test(file) && !file.endsWith('.d.ts'));
const product = sources.filter((file) => /^(packages|services|deploy)\//.test(file) && !isTest(file));

interface Import {
  readonly file: string;
  readonly from: string;
}
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g;
const importsOf = (file: string): Import[] =>
  [...read(file).matchAll(IMPORT)].map((match) => ({ file, from: match[1] ?? match[2] ?? match[3] ?? '' }));
const productImports = product.flatMap(importsOf);

/** `packages/event/src/x.ts` belongs to `packages/event`. */
const homeOf = (file: string): string => file.split('/').slice(0, 2).join('/');
const homeByName = new Map(
  files
    .filter((file) => /^[^/]+\/[^/]+\/package\.json$/.test(file))
    .map((file) => [JSON.parse(read(file)).name as string, dirname(file)]),
);
const homeOfImport = (from: string): string | undefined =>
  homeByName.get(from.split('/').slice(0, 2).join('/'));

const PURE = [
  'packages/event',
  'packages/failure',
  'packages/ledger',
  'packages/native',
  'packages/query',
  'packages/retention',
  'packages/rules',
  'packages/search',
  'packages/session',
  'packages/siem',
  'packages/sql',
];
const LIBRARIES = [
  'kafkajs',
  '@clickhouse/client',
  '@aws-sdk/client-s3',
  'pkijs',
  'asn1js',
  'ioredis',
  'chdb',
  'avsc',
  'pino',
  '@prometheus-io/client',
  'close-with-grace',
  'croner',
  '@cedar-policy/cedar-wasm',
  'undici',
  'testcontainers',
  'protobufjs',
  'express',
  'jose',
  'helmet',
];

describe('import directions', () => {
  test('a service never imports another service, except services/all, which only composes', () => {
    const crossings = productImports.filter(({ file, from }) => {
      const target = homeOfImport(from);
      return (
        file.startsWith('services/') &&
        !file.startsWith('services/all/') &&
        target?.startsWith('services/') === true &&
        target !== homeOf(file)
      );
    });
    expect(crossings).toEqual([]);
  });

  test('a package never imports a service', () => {
    const upward = productImports.filter(
      ({ file, from }) =>
        file.startsWith('packages/') && homeOfImport(from)?.startsWith('services/') === true,
    );
    expect(upward).toEqual([]);
  });

  test('a pure package imports pure packages only', () => {
    const impure = productImports.filter(({ file, from }) => {
      if (!PURE.includes(homeOf(file)) || !file.includes('/src/')) return false;
      const target = homeOfImport(from);
      return target !== undefined && !PURE.includes(target);
    });
    expect(impure).toEqual([]);
  });

  test('no file imports one that leads back to it, be it by a type: what is read goes downward', () => {
    const downward = new Map<string, string[]>();
    for (const { file, from } of productImports) {
      if (!from.startsWith('.')) continue;
      downward.set(file, [...(downward.get(file) ?? []), normalize(join(dirname(file), from))]);
    }
    const below = (file: string, seen: Set<string>): Set<string> => {
      for (const next of downward.get(file) ?? []) if (!seen.has(next)) below(next, seen.add(next));
      return seen;
    };
    const circles = product.filter((file) => below(file, new Set()).has(file));
    expect(circles).toEqual([]);
  });

  test('nobody reaches into another package past its index', () => {
    const reaching = productImports.filter(({ file, from }) => {
      if (!from.startsWith('.')) return from.startsWith('@cairn/') && from.split('/').length > 2;
      return homeOf(normalize(join(dirname(file), from))) !== homeOf(file) && !from.endsWith('.json');
    });
    expect(reaching).toEqual([]);
  });

  test('the product has no import of a local part, except the command line, which starts them', () => {
    const local = productImports.filter(
      ({ file, from }) =>
        from === '@cairn/local' && !file.startsWith('packages/cli/') && !file.startsWith('deploy/local/'),
    );
    expect(local).toEqual([]);
  });
});

describe('libraries', () => {
  test.each(LIBRARIES)(
    '%s is imported by one file of the product, so that replacing it is a change of one file',
    (library) => {
      const importers = new Set(
        productImports
          .filter(({ from }) => from === library || from.startsWith(`${library}/`))
          .map(({ file }) => file),
      );
      expect([...importers].length).toBeLessThanOrEqual(1);
    },
  );

  test('every direct dependency of the product has its line in docs/dependencies.md', () => {
    const page = read('docs/dependencies.md');
    const missing = files
      .filter((file) => /^(packages|services|deploy)\/[^/]+\/package\.json$/.test(file))
      .flatMap((file) => Object.keys(JSON.parse(read(file)).dependencies ?? {}))
      .filter((name) => !name.startsWith('@cairn/') && !page.includes(`\`${name}\``));
    expect([...new Set(missing)]).toEqual([]);
  });
});

describe('pure code', () => {
  test('reads no clock and draws no randomness', () => {
    const impure = product
      .filter((file) => PURE.includes(homeOf(file)) && file.includes('/src/'))
      .filter((file) =>
        /Date\.now|Temporal\.Now|Math\.random|new Date\(\)|performance\.|randomUUID|randomBytes|process\.[a-z]/.test(
          read(file),
        ),
      );
    expect(impure).toEqual([]);
  });
});

describe('the environment', () => {
  test('is read in config.ts alone', () => {
    const readers = product.filter(
      (file) => /process\.env\b/.test(read(file)) && !file.endsWith('/config.ts'),
    );
    expect(readers).toEqual([]);
  });
});

describe('what a service says', () => {
  test('goes through its log, which escapes what hostile names hold, but for the gateway’s own protocol on its streams', () => {
    const speakers = product.filter(
      (file) =>
        /^(packages|services)\/[^/]+\/src\//.test(file) &&
        !file.startsWith('packages/cli/') &&
        /\bconsole\.|process\.std(out|err)\b/.test(read(file)),
    );
    expect(speakers).toEqual([
      'packages/runtime/src/run-service.ts',
      'services/gateway/src/gateway.ts',
      'services/gateway/src/stdio-main.ts',
    ]);
  });
});

describe('names', () => {
  test('no file is called by a word that says nothing', () => {
    const vague = files.filter((file) =>
      /(^|\/)(utils?|common|helpers?|manager|misc|types)(\.[a-z]+)?(\/|$)/.test(file),
    );
    expect(vague).toEqual([]);
  });

  test('the repository names no path of a single machine', () => {
    const workplace = files
      .filter((file) =>
        /\.(ts|mjs|md|ya?ml|json|avsc|sql|sh|toml|py|cedar)$|(^|\/)(Dockerfile|run)$/.test(file),
      )
      .filter((file) => file !== 'tools/tidy.test.ts' && file !== 'pnpm-lock.yaml')
      .filter((file) => /(^|[\s'"`(=])\/(work|root|home)\//.test(read(file)));
    expect(workplace).toEqual([]);
  });
});

describe('documents', () => {
  const documents = files.filter((file) => file.endsWith('.md') && !file.includes('node_modules'));

  test('name only files that exist', () => {
    const missing = documents.flatMap((document) => {
      const text = read(document).replaceAll(/```[\s\S]*?```/g, '');
      const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map((match) =>
        join(dirname(document), match[1] ?? ''),
      );
      const paths = [
        ...text.matchAll(/`((?:packages|services|schemas|deploy|docs|tools|examples)\/[\w./-]+)`/g),
      ].map((match) => match[1] ?? '');
      return (
        [...links, ...paths]
          // Methods of MCP look like paths.
          .filter((path) => !/^tools\/(?:call|list)$/.test(path) && !existsSync(join(root, path)))
          .map((path) => `${document}: ${path}`)
      );
    });
    expect(missing).toEqual([]);
  });
});
