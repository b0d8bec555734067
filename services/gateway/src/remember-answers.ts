import { LRUCache } from 'lru-cache';
import type { Policy } from './policy.ts';
import { isObject } from './read-message.ts';

const ANSWERS_REMEMBERED = 4_096;

/**
 * A policy that is asked each question once. What Cedar says depends on the policies and the question alone: it knows no
 * time, no chance and nothing of earlier questions. So the same question has the same answer as long as the policies are
 * the same, and agents ask the same few again and again.
 *
 * @param asksSession whether an answer may depend on the session: see `dependsOnSession`.
 */
export function rememberAnswers(policy: Policy, asksSession: boolean): Policy {
  const answers = new LRUCache<string, ReturnType<Policy['decide']>>({ max: ANSWERS_REMEMBERED });
  return {
    decide(question) {
      const key = JSON.stringify(asksSession ? question : { ...question, sessionId: '' });
      const known = answers.get(key);
      if (known) return known;
      const answer = policy.decide(question);
      answers.set(key, answer);
      return answer;
    },
  };
}

/**
 * Whether a policy reads the session from its context, or takes the context as a whole.
 *
 * @param json the policy in Cedar's JSON format.
 */
export function dependsOnSession(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(dependsOnSession);
  if (!isObject(json)) return false;
  return Object.entries(json).some(([operator, operand]) => {
    if (operator === 'Var') return operand === 'context' || dependsOnSession(operand);
    const reads = operator === '.' || operator === 'has';
    if (reads && isObject(operand) && isObject(operand['left']) && operand['left']['Var'] === 'context') {
      const { attr } = operand;
      return (Array.isArray(attr) ? attr[0] : attr) === 'session_id';
    }
    return dependsOnSession(operand);
  });
}
