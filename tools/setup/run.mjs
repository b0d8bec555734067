// `npm start` and `npm test` on a fresh machine: installs what the workspace lacks, then runs. Runs on any Node from 18 on
// and needs no package, since there is none yet; everything after it runs on the Node that the workspace pins.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const PNPM = 'pnpm@12.21.0';
const DISK_BYTES_MIN = 3 * 1024 ** 3;

const [command, ...rest] = process.argv.slice(2);
const runs = {
  start: [[join(root, 'tools', 'demo', 'src', 'start.ts'), ...rest]],
  test: [[join(root, 'tools', 'setup', 'test.ts'), ...rest]],
};
if (!(command in runs)) fail(`unknown command ${command}`, 'Use npm start or npm test.');

checkNode();
checkDisk();
installWorkspace();
for (const args of runs[command]) await run(args);

function checkNode() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 18) fail(`Node ${process.versions.node} is too old to begin with`, 'Install Node 18 or later.');
}

function checkDisk() {
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize >= DISK_BYTES_MIN) return;
  fail(
    `the disk of ${root} has ${Math.round((bavail * bsize) / 1024 ** 2)} MiB left`,
    'Free some: 3 GiB are needed.',
  );
}

/** Packages by the lock file, once for each state of it. */
function installWorkspace() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.cairn-installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.log('Installing the packages of the workspace (pnpm, once)');
  const { status } = spawnSync(
    'npx',
    ['-y', PNPM, 'install', '--frozen-lockfile', '--reporter=append-only'],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, CI: '1' },
    },
  );
  if (status !== 0) {
    fail(
      'the packages could not be installed',
      'Check that this machine reaches the npm registry, and the lines above.',
    );
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, lock);
}

/** Runs a file on the pinned Node; signals go to it and its end is ours. */
function run(args) {
  const node = join(root, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(node)) fail('the pinned Node is missing', 'Remove node_modules and try again.');
  const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` };
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: 'inherit',
    env,
  });
  // The terminal sends Ctrl-C to the child as well; it decides when to end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      if (code !== 0) process.exit(signal ? 1 : code);
      resolve();
    });
  });
}

function fail(what, mend) {
  console.error(`cairn: ${what}. ${mend}`);
  process.exit(1);
}
