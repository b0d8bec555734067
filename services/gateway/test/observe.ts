/** What both SDKs' clients can do, as far as it is compared. */
export interface AnyClient {
  listTools(): Promise<{ tools: { name: string }[] }>;
  callTool(params: { name: string; arguments?: Record<string, unknown> }): Promise<unknown>;
  listResources(): Promise<{ resources: { uri: string }[] }>;
  listResourceTemplates(): Promise<unknown>;
  readResource(params: { uri: string }): Promise<unknown>;
  listPrompts(): Promise<{
    prompts: { name: string; arguments?: { name: string; required?: boolean }[] | undefined }[];
  }>;
  getPrompt(params: { name: string; arguments?: Record<string, string> }): Promise<unknown>;
  getServerCapabilities(): unknown;
  getServerVersion(): unknown;
}

const ARGUMENTS: Readonly<Record<string, Record<string, unknown>>> = {
  echo: { message: 'Grüße 漢字 \u2028 "quoted"' },
  'get-sum': { a: 2, b: 40 },
  'get-annotated-message': { messageType: 'debug', includeImage: true },
  'get-resource-reference': { resourceType: 'Text', resourceId: 2 },
  'get-resource-links': { count: 3 },
  'get-structured-content': { location: 'Chicago' },
  'trigger-long-running-operation': { duration: 0.4, steps: 4 },
  'trigger-sampling-request': { prompt: 'two words', maxTokens: 10 },
  'simulate-research-query': { topic: 'bees', ambiguous: false },
  add: { a: 2, b: 3 },
  wide: { text: 'é' },
};

/**
 * Everything that a client sees of a server: capabilities, lists, every tool called, every resource read, every prompt
 * got; errors as their code and text. What differs from run to run is replaced.
 */
export async function observe(client: AnyClient): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {
    capabilities: client.getServerCapabilities(),
    server: client.getServerVersion(),
  };
  const note = async (name: string, ask: () => Promise<unknown>): Promise<void> => {
    seen[name] = await ask().catch((error: { code?: unknown; message: string }) => ({
      error: { code: error.code, message: error.message },
    }));
  };
  const { tools } = await client.listTools();
  seen['tools'] = tools;
  const { resources } = await client.listResources();
  seen['resources'] = resources;
  await note('templates', () => client.listResourceTemplates());
  const { prompts } = await client.listPrompts();
  seen['prompts'] = prompts;
  for (const { name } of tools) {
    // It changes what the server says unasked, at times of its own.
    if (name.startsWith('toggle-')) continue;
    await note(`tool ${name}`, () => client.callTool({ name, arguments: ARGUMENTS[name] ?? {} }));
    // With wrong arguments these take their defaults, and those take ten seconds.
    if (/long-running|research/.test(name)) continue;
    await note(`tool ${name}, wrongly`, () =>
      client.callTool({ name, arguments: { a: 'no number', count: -1 } }),
    );
  }
  await note('no such tool', () => client.callTool({ name: 'no-such-tool', arguments: {} }));
  for (const { uri } of resources) await note(`resource ${uri}`, () => client.readResource({ uri }));
  await note('no such resource', () => client.readResource({ uri: 'demo://no/such' }));
  for (const prompt of prompts) {
    const given = Object.fromEntries(
      (prompt.arguments ?? []).map(({ name }) => [name, name === 'resourceId' ? '1' : 'Text']),
    );
    await note(`prompt ${prompt.name}`, () => client.getPrompt({ name: prompt.name, arguments: given }));
  }
  for (const name of ['tool get-env', 'tool get-env, wrongly'])
    if (name in seen) seen[name] = lettersOf(seen[name]);
  return JSON.parse(steady(JSON.stringify(seen))) as Record<string, unknown>;
}

/** Times and random ids, which no two runs share. */
function steady(text: string): string {
  return text
    .replaceAll(/\d{4}-\d{2}-\d{2}T[\d:.]+Z/g, 'TIME')
    .replaceAll(/\d{1,2}:\d{2}:\d{2}( [AP]M)?/g, 'TIME')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
    .replaceAll(/task[-_ ]?[0-9a-f]{6,}/gi, 'TASK');
}

/** An environment in any order. */
function lettersOf(value: unknown): string {
  return JSON.stringify(value).split('\\n').toSorted().join().replaceAll(/[\s,]/g, '');
}
