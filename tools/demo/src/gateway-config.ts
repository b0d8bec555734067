import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface DemoGatewayOptions {
  /** Everything of this gateway: configuration, policies, spool, keys, the agents' workspace. Absolute. */
  readonly directory: string;
  readonly brokers: string;
  readonly port: number;
  readonly healthPort: number;
}

export interface DemoGateway {
  readonly deployment: string;
  /** Where the gateway hands out the verifier keys of its streams. */
  readonly keyDirectory: string;
  readonly configFile: string;
  /** Folder that the filesystem server serves. */
  readonly workspace: string;
  readonly credentials: { readonly operations: string; readonly billing: string };
}

/** Writes what a gateway over four MCP servers needs: published ones, which nobody here wrote, and one of the second era. */
export function writeGatewayConfig({
  directory,
  brokers,
  port,
  healthPort,
}: DemoGatewayOptions): DemoGateway {
  const workspace = join(directory, 'workspace');
  const policies = join(directory, 'policies');
  mkdirSync(workspace, { recursive: true });
  mkdirSync(policies, { recursive: true });
  writeFileSync(join(workspace, 'report.md'), '# Third quarter\n\nRevenue rose by 4 %.\n');
  writeFileSync(join(policies, 'demo.cedar'), POLICIES);
  const credentials = { operations: newCredential(), billing: newCredential() };
  const config = {
    deployment: DEPLOYMENT,
    gateway_id: 'gw-demo',
    environment: 'demo',
    listen: { port },
    health: { port: healthPort },
    kafka: { brokers, partitions: 4 },
    data_directory: join(directory, 'gateway'),
    policy: { directory: policies, mode: 'enforce' },
    identities: [
      {
        credential_sha256: sha256(credentials.operations),
        org: 'acme',
        agent: 'operations-assistant',
        agent_version: '1.8.2',
        user: 'u-20817',
      },
      {
        credential_sha256: sha256(credentials.billing),
        org: 'acme',
        agent: 'billing-assistant',
        agent_version: '2.4.0',
        user: 'u-31144',
      },
    ],
    upstreams: upstreamsOf(directory, workspace),
    privacy: {
      rules: [
        { service: 'filesystem', field: 'path', do: 'keep' },
        { service: 'invoices', field: 'invoice', do: 'keep' },
        { service: 'invoices', field: 'email', do: 'token' },
      ],
    },
  };
  const configFile = join(directory, 'gateway.yaml');
  // JSON is YAML.
  writeFileSync(configFile, JSON.stringify(config, null, 2), { mode: 0o600 });
  const keyDirectory = join(config.data_directory, 'recorder', 'keys');
  return { deployment: DEPLOYMENT, keyDirectory, configFile, workspace, credentials };
}

function upstreamsOf(directory: string, workspace: string): Record<string, object> {
  const node = process.execPath;
  return {
    memory: {
      command: node,
      args: [binOf('@modelcontextprotocol/server-memory')],
      env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') },
      tools: {
        'create_*': { action: 'create', sensitivity: 'sensitive', data_classes: ['customer'] },
        'delete_*': { action: 'delete', sensitivity: 'sensitive', data_classes: ['customer'] },
        'search_*': { action: 'read', sensitivity: 'sensitive', data_classes: ['customer'] },
      },
    },
    filesystem: {
      command: node,
      args: [binOf('@modelcontextprotocol/server-filesystem'), workspace],
      tools: {
        'read_*': { action: 'read', sensitivity: 'internal' },
        'list_*': { action: 'read', sensitivity: 'internal' },
        write_file: { action: 'update', sensitivity: 'internal' },
      },
    },
    everything: {
      command: node,
      args: [binOf('@modelcontextprotocol/server-everything')],
      tools: { 'trigger-long-running-operation': { action: 'execute', timeout_ms: 1_500 } },
    },
    invoices: {
      command: node,
      args: [join(import.meta.dirname, 'invoices-server.ts')],
      tools: {
        list_invoices: { action: 'read', sensitivity: 'internal', data_classes: ['finance'] },
        send_reminder: {
          action: 'communicate',
          sensitivity: 'sensitive',
          data_classes: ['finance', 'customer'],
        },
        delete_invoice: { action: 'delete', sensitivity: 'restricted', data_classes: ['finance'] },
      },
    },
  };
}

const DEPLOYMENT = 'demo';

const POLICIES = `// What the demo's agents may do. Everything that is not permitted is denied.

@id("agents-may-work")
permit (principal in Cairn::Organisation::"acme", action, resource);

@id("no-deletion")
forbid (principal, action == Cairn::Action::"call_tool", resource)
when { resource.action == "delete" };

@id("no-environment")
forbid (principal, action == Cairn::Action::"call_tool", resource)
when { resource.name == "get-env" };
`;

/** The file that a package's command runs. */
export function binOf(name: string): string {
  const require = createRequire(import.meta.url);
  const manifest = findManifest(require.resolve.paths(name) ?? [], name);
  const { bin } = require(manifest) as { bin: string | Record<string, string> };
  const file = typeof bin === 'string' ? bin : Object.values(bin)[0];
  return join(dirname(manifest), file ?? '');
}

function findManifest(folders: readonly string[], name: string): string {
  const require = createRequire(import.meta.url);
  for (const folder of folders) {
    const manifest = join(folder, name, 'package.json');
    try {
      require(manifest);
      return manifest;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${name} is not installed`);
}

const newCredential = (): string => `demo-${randomBytes(24).toString('base64url')}`;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
