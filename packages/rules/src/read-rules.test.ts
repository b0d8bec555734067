import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type RuleEvent, readRules, ruleMistakeText } from './index.ts';
import { detectionText, rulesOf } from './testing/sample-event.ts';

const mistakesIn = (...texts: string[]): string[] =>
  readRules(texts.map((text, index) => ({ file: `${index}.yml`, text }))).mistakes.map(ruleMistakeText);
const inDetection = (detection: string, more = ''): string[] => mistakesIn(detectionText(detection, more));
const COUNT = `title: C
id: c
correlation:
  type: event_count
  rules: t
  group-by: agent_id
  timespan: 5m
  condition: {gte: 2}
`;
const COUNTED = detectionText('{s: {action: pay}, condition: s}');
const inCorrelation = (from: string, to: string): string[] =>
  mistakesIn(COUNTED, COUNT.replace(from, to)).map((text) => text.replace(/^1\.yml:/, ''));

describe('a mistake has its place, and says what to write instead', () => {
  test.each([
    [
      '{s: {tool_nam: x}, condition: s}',
      '0.yml:4:17: events have no field tool_nam; did you mean tool_name?',
    ],
    [
      '{s: {tool_name|contain: x}, condition: s}',
      '0.yml:4:17: there is no modifier contain; did you mean contains?',
    ],
    ['{s: {tool_name: x}, condition: s and t}', '0.yml:4:49: there is no selection t; did you mean s?'],
    ['{s: {tool_name: x}, condition: s or (not s}', '0.yml:4:54: a closing parenthesis is missing here'],
    [
      '{s: {tool_name: x}, condition: s | count() > 5}',
      '0.yml:4:45: aggregations are no longer part of Sigma conditions; write a correlation',
    ],
    [
      '{s: {tool_name: x}, condition: 2 of s*}',
      '0.yml:4:43: 2 of is not in Sigma; write 1 of, any of or all of',
    ],
    ['{s: {tool_name: x}, condition: all of x*}', '0.yml:4:50: no selection is called x*; known are s'],
    [
      '{s: {tool_name|re: "(a"}, condition: s}',
      '0.yml:4:31: not an expression that is searched in linear time: error parsing regexp: missing closing ): `(a`',
    ],
    [
      '{s: {tool_name|re: "(?=a)b"}, condition: s}',
      '0.yml:4:31: not an expression that is searched in linear time: error parsing regexp: invalid or unsupported Perl syntax: `(?=`',
    ],
    [
      '{s: {tool_name|cidr: 10.0.0.1/8}, condition: s}',
      '0.yml:4:33: 10.0.0.1/8 is no network; write it like 10.0.0.0/8 or fd00::/8',
    ],
    ['{s: {latency_ms|gt: many}, condition: s}', '0.yml:4:32: gt takes a number, not many'],
    [
      '{s: {tool_name|all: x}, condition: s}',
      '0.yml:4:17: all needs at least two values; leave it out, or write them as a list',
    ],
    [
      '{s: {tool_name|re|contains: x}, condition: s}',
      '0.yml:4:17: contains and re do not go together; leave out one of them',
    ],
    [
      "{s: {tool_name|expand: '%admins%'}, condition: s}",
      '0.yml:4:35: the placeholder %admins% has no values',
    ],
    ['{s: {tool_name: []}, condition: s}', '0.yml:4:28: an empty list matches nothing; write a value'],
    [
      '{s: {tool_name: {a: b}}, condition: s}',
      '0.yml:4:28: a value must be a single text, number, true, false or null',
    ],
    ['{s: {agent_id|hour: 3}, condition: s}', '0.yml:4:32: hour belongs to timestamp; agent_id is no time'],
    ['{s: {}, condition: s}', '0.yml:4:16: an empty selection matches everything; write a field'],
    ['{s: {tool_name: x}}', '0.yml:4:1: detection must say its condition'],
    [
      '{s: {tool_name: x}, timeframe: 5m, condition: s}',
      '0.yml:4:32: timeframe is no longer part of Sigma; write a correlation with timespan',
    ],
  ])('detection %s', (detection, expected) => {
    expect(inDetection(detection)).toEqual([expected]);
  });

  test.each([
    [
      'business_hours: {time_zone: Mars, hours: 08:00-18:00}\n',
      '4:29: there is no time zone Mars; write a name of the IANA data base, such as Europe/Berlin',
    ],
    [
      'business_hours: {time_zone: UTC, hours: 8-18}\n',
      '4:41: 8-18 are no hours; write them like 08:00-18:00',
    ],
    [
      'business_hours: {time_zone: UTC, hours: 08:00-18:00, weekdays: [mo]}\n',
      '4:65: there is no weekday mo; did you mean mon?',
    ],
    [
      'business_hours: {time_zone: UTC, hours: 08:00-18:00, holidays: {country: XX}}\n',
      '4:64: there are no holidays of country XX',
    ],
    ['levl: high\n', '4:1: a rule has no levl; did you mean level?'],
  ])('rule with %j', (more, expected) => {
    const [mistake] = inDetection('{s: {action: pay}, condition: s}', more);
    expect(mistake).toContain(`0.yml:${expected}`);
  });

  test.each([
    ['event_count', 'event_coun', '4:9: there is no correlation event_coun; did you mean event_count?'],
    ['rules: t', 'rules: [t, nobody]', '5:14: there is no rule nobody; known are t, c'],
    [
      'timespan: 5m',
      'timespan: 5 minutes',
      '7:13: 5 minutes is no timespan; write a number and s, m, h, d or w, such as 15m',
    ],
    ['{gte: 2}', '{gte: two}', '8:20: gte takes a whole number from 0 on, not two'],
    ['{gte: 2}', '{}', '8:14: condition must compare the count; write gte: and a number'],
    [
      'group-by: agent_id',
      'group-by: rules_matched',
      '6:13: rules_matched has several values in one event, so nothing can be grouped or counted by it',
    ],
    [
      'type: event_count',
      'type: value_count',
      '8:14: value_count must say which values it counts; write field: in condition',
    ],
    ['group-by:', 'groupby:', '6:3: correlation has no groupby; did you mean group-by?'],
    ['type: event_count', 'type: baseline', '7:3: a baseline is kept by the hour; write timespan: 1h'],
    ['rules: t', 'rules: c', '1:1: C counts itself, through other rules'],
  ])('correlation with %s as %s', (from, to, expected) => {
    expect(inCorrelation(from, to)).toContain(expected);
  });

  test('YAML that cannot be read has its place as well', () => {
    expect(mistakesIn('title: "a\n')[0]).toMatch(/^0\.yml:\d+:\d+: /);
    expect(mistakesIn('title: &a x\nid: *a\n')).toEqual([
      '0.yml:2:5: aliases are not followed; write it out',
    ]);
  });

  test('nothing that stands in a file makes reading throw', () => {
    const words = fc.constantFrom(
      ...[
        'title: ',
        'id: x\n',
        'detection: ',
        'correlation:\n',
        '{',
        '}',
        '[',
        ']',
        ' ',
        '\n',
        '  ',
        '- ',
        ': ',
        'condition: ',
        'not ',
        'and ',
      ],
      ...[
        'logsource: {product: cairn}\n',
        '|re',
        '|all',
        'tool_name',
        '---\n',
        '*',
        '"',
        "'",
        '&a ',
        '*a',
        '1 of ',
        'null',
        '!!binary ',
        '#',
      ],
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
        readRules([{ file: 'f', text: parts.join('') }]);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('rules beside each other', () => {
  test('one with a mistake stops neither its neighbours in the file nor those in other files', () => {
    const bad = COUNTED.replace('id: t', 'id: bad').replace('action', 'acton');
    const { rules, mistakes } = readRules([
      { file: 'a.yml', text: `${bad}---\n${COUNTED}` },
      { file: 'b.yml', text: COUNT },
      { file: 'c.yml', text: '{{' },
    ]);
    expect(rules.detections.map(({ id }) => id)).toEqual(['t']);
    expect(rules.correlations.map(({ id }) => id)).toEqual(['c']);
    expect(mistakes.map(({ file }) => file)).toEqual(['a.yml', 'c.yml']);
  });

  test('a correlation over a rule with mistakes is told so, and does not run', () => {
    const found = mistakesIn(COUNTED.replace('action', 'acton'), COUNT);
    expect(found[1]).toBe('1.yml:5:10: the rule t has mistakes of its own, so nothing can count it');
  });

  test('the second of two rules with one id does not run, and names the first', () => {
    expect(mistakesIn(COUNTED, COUNTED)).toEqual([
      '1.yml:1:1: t is also the rule at 0.yml:1; give it an id of its own',
    ]);
  });

  test('a rule that a correlation counts does not alert by itself, unless generate says so', () => {
    const alerts = (count: string): boolean[] =>
      rulesOf(`${COUNTED}---\n${count}`).detections.map((rule) => rule.alerts);
    expect(alerts(COUNT)).toEqual([false]);
    expect(alerts(`${COUNT}  generate: true\n`)).toEqual([true]);
  });

  test('fieldsRead names exactly the columns that the rules look at', () => {
    expect([...rulesOf(`${COUNTED}---\n${COUNT}`).fieldsRead].sort()).toEqual([
      'action',
      'agent_id',
      'event_id',
      'org_id',
      'timestamp',
    ]);
  });
});

describe('conditions', () => {
  type Tree = { op: 'name'; name: string } | { op: 'not'; of: Tree } | { op: 'and' | 'or'; of: [Tree, Tree] };
  const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.record({ op: fc.constant('name' as const), name: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ op: fc.constant('not' as const), of: tie('tree') }),
      fc.record({
        op: fc.constantFrom('and' as const, 'or' as const),
        of: fc.tuple(tie('tree'), tie('tree')),
      }),
    ),
  }));
  const strength = { or: 0, and: 1, not: 2, name: 3 };
  /** With no more parentheses than are needed. */
  const textOf = (node: Tree, outer: number): string => {
    const inner =
      node.op === 'name'
        ? node.name
        : node.op === 'not'
          ? `not ${textOf(node.of, 2)}`
          : `${textOf(node.of[0], strength[node.op])} ${node.op} ${textOf(node.of[1], strength[node.op])}`;
    return strength[node.op] < outer ? `(${inner})` : inner;
  };
  const truthOf = (node: Tree, event: RuleEvent): boolean => {
    if (node.op === 'name') return String(event.agent_id).includes(node.name);
    if (node.op === 'not') return !truthOf(node.of, event);
    const [left, right] = node.of.map((part) => truthOf(part, event));
    return node.op === 'and' ? left === true && right === true : left === true || right === true;
  };

  const namesOf = (node: Tree): Set<string> =>
    node.op === 'name'
      ? new Set([node.name])
      : new Set((node.op === 'not' ? [node.of] : node.of).flatMap((part) => [...namesOf(part)]));

  test('not binds before and, and before or; parentheses before all', () => {
    fc.assert(
      fc.property(tree, fc.subarray(['a', 'b', 'c']), (node, letters) => {
        const text = detectionText(
          `{a: {agent_id|contains: a}, b: {agent_id|contains: b}, c: {agent_id|contains: c}, condition: "${textOf(node, 0)}"}`,
        );
        const event = { agent_id: `-${letters.join('')}` };
        expect(rulesOf(text).detections[0]?.matches(event)).toBe(truthOf(node, event));
      }),
      { numRuns: 300 },
    );
  });

  test('what the enums of an event say of them is never more than the whole event says', () => {
    fc.assert(
      fc.property(
        tree,
        fc.constantFrom('read' as const, 'create' as const, undefined),
        fc.constantFrom('allow' as const, 'deny' as const),
        fc.constantFrom('x', 'y'),
        (node, action, decision, agent_id) => {
          const text = detectionText(
            `{a: {action: read}, b: {decision: [deny, unknown], action|exists: true}, c: {agent_id: x}, condition: "${textOf(node, 0)}"}`,
          );
          const [detection] = rulesOf(text).detections;
          const event = { decision, agent_id, ...(action === undefined ? {} : { action }) };
          const { agent_id: _, ...enums } = event;
          const [whole, may] = [detection?.matches(event), detection?.mayMatch(enums)];
          if (whole) expect(may).toBe(true);
          if (detection?.isDecided) expect(may).toBe(whole);
          expect(detection?.isDecided).toBe(!namesOf(node).has('c'));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('them leaves out names that begin with an underscore; a list of conditions holds when one does', () => {
    const match = (condition: string, event: RuleEvent): boolean | undefined =>
      rulesOf(
        detectionText(`{a: {action: pay}, _b: {action: read}, condition: ${condition}}`),
      ).detections[0]?.matches(event);
    expect(match('1 of them', { action: 'read' })).toBe(false);
    expect(match('any of _*', { action: 'read' })).toBe(true);
    expect(match('[a, _b]', { action: 'read' })).toBe(true);
  });
});
