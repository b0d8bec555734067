import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import * as cedar from '@cedar-policy/cedar-wasm/nodejs';
import type { Policy, PolicyQuestion } from './policy.ts';
import { dependsOnSession, rememberAnswers } from './remember-answers.ts';

/** The vocabulary that policies are validated against. */
const POLICY_SCHEMA = `namespace Cairn {
  entity Organisation;
  entity Agent in [Organisation] = { name: String, organisation: String, version: String, principal_type: String };
  entity Service;
  entity Tool in [Service] = {
    name: String, service: String, action: String, sensitivity: String, data_classes: Set<String>
  };
  action call_tool, read_resource, get_prompt appliesTo {
    principal: [Agent],
    resource: [Tool],
    context: { environment: String, session_id: String, has_user: Bool }
  };
}
`;

const RULES_SHOWN_MAX = 64;

/**
 * Loads every `*.cedar` of a directory. The id of a policy is its `@id("…")`, or its file and number.
 *
 * Cedar skips a policy that fails to evaluate, so a broken `forbid` would allow: policies are validated here, and an
 * error at a decision denies.
 *
 * @throws Failure `policy.invalid` with every mistake.
 */
export async function loadPolicy(directory: string, mode: 'enforce' | 'monitor'): Promise<Policy> {
  const policies = await readPolicies(directory);
  const staticPolicies = Object.fromEntries(policies);
  const mistakes = mistakesOf(staticPolicies);
  if (mistakes.length > 0) throw invalid(directory, mistakes.join('; '));
  const setHash = createHash('sha256').update(JSON.stringify(policies)).digest();
  // Cedar keeps parsed sets by name for the life of the process; the hash as its name makes reloads safe.
  const setName = setHash.toString('hex');
  cedar.preparsePolicySet(setName, { staticPolicies });
  cedar.preparseSchema(SCHEMA_NAME, POLICY_SCHEMA);
  const facts = {
    policy_engine: `cedar/${cedar.getCedarVersion()}`,
    policy_set_hash: new Uint8Array(setHash),
    rules_evaluated: policies.map(([id]) => id).slice(0, RULES_SHOWN_MAX),
    enforcement: mode,
  } as const;
  const policy: Policy = {
    decide(question) {
      const answer = cedar.statefulIsAuthorized(callOf(setName, question));
      if (answer.type === 'failure') {
        const policy_errors = answer.errors.map(({ message }) => message.slice(0, 256)).slice(0, 16);
        return { ...facts, decision: 'deny', rules_matched: [], policy_errors };
      }
      const { decision, diagnostics } = answer.response;
      const policy_errors = diagnostics.errors
        .map(({ policyId, error }) => `${policyId}: ${error.message}`.slice(0, 256))
        .slice(0, 16);
      return {
        ...facts,
        decision: policy_errors.length > 0 ? 'deny' : decision,
        rules_matched: diagnostics.reason.toSorted().slice(0, RULES_SHOWN_MAX),
        policy_errors,
      };
    },
  };
  return rememberAnswers(
    policy,
    policies.some(([, text]) => dependsOnSession(jsonOf(text))),
  );
}

function jsonOf(policy: string): unknown {
  const answer = cedar.policyToJson(policy);
  if (answer.type === 'failure') throw new TypeError(answer.errors.map(({ message }) => message).join(', '));
  return answer.json;
}

const SCHEMA_NAME = 'cairn';

async function readPolicies(directory: string): Promise<[id: string, text: string][]> {
  let files: string[];
  try {
    files = (await readdir(directory)).filter((file) => file.endsWith('.cedar')).sort();
  } catch (error) {
    throw invalid(directory, messageOf(error));
  }
  const policies: [string, string][] = [];
  for (const file of files) {
    const parts = cedar.policySetTextToParts(await readFile(join(directory, file), 'utf8'));
    if (parts.type === 'failure')
      throw invalid(directory, `${file}: ${parts.errors.map(({ message }) => message).join(', ')}`);
    if (parts.policy_templates.length > 0) throw invalid(directory, `${file}: templates are not supported`);
    parts.policies.forEach((text, index) => {
      const id =
        /@id\("([\w.:/ -]{1,128})"\)/.exec(text)?.[1] ?? `${file.replace(/\.cedar$/, '')}#${index + 1}`;
      if (policies.some(([known]) => known === id))
        throw invalid(directory, `${file}: the id ${id} stands twice`);
      policies.push([id, text]);
    });
  }
  if (policies.length === 0) throw invalid(directory, 'it holds no policy, and then everything is denied');
  return policies;
}

function mistakesOf(staticPolicies: Record<string, string>): string[] {
  const answer = cedar.validate({ schema: POLICY_SCHEMA, policies: { staticPolicies } });
  if (answer.type === 'failure') return answer.errors.map(({ message }) => message);
  return answer.validationErrors.map(({ policyId, error }) => `${policyId}: ${error.message}`);
}

function callOf(setName: string, question: PolicyQuestion): cedar.StatefulAuthorizationCall {
  const organisation = { type: 'Cairn::Organisation', id: question.org };
  const service = { type: 'Cairn::Service', id: question.service };
  const principal = { type: 'Cairn::Agent', id: `${question.org}/${question.agent}` };
  const resource = { type: 'Cairn::Tool', id: `${question.service}/${question.name}` };
  return {
    preparsedPolicySetId: setName,
    preparsedSchemaName: SCHEMA_NAME,
    validateRequest: true,
    principal,
    action: { type: 'Cairn::Action', id: question.action },
    resource,
    context: {
      environment: question.environment,
      session_id: question.sessionId,
      has_user: question.hasUser,
    },
    entities: [
      { uid: organisation, attrs: {}, parents: [] },
      { uid: service, attrs: {}, parents: [] },
      {
        uid: principal,
        attrs: {
          name: question.agent,
          organisation: question.org,
          version: question.agentVersion,
          principal_type: question.principalType,
        },
        parents: [organisation],
      },
      {
        uid: resource,
        attrs: {
          name: question.name,
          service: question.service,
          action: question.toolAction,
          sensitivity: question.sensitivity,
          data_classes: [...question.dataClasses],
        },
        parents: [service],
      },
    ],
  };
}

function invalid(directory: string, why: string): Failure {
  return new Failure({
    code: 'policy.invalid',
    retry: 'no',
    message: `the policies in ${directory} cannot be used: ${why}`,
    mend: 'Mend them; the vocabulary is in docs/gateway.md.',
  });
}
