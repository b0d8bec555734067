export { type AgentAccess, type AgentCall, runBillingAgent, runOperationsAgent } from './agents.ts';
export { type DemoArchive, proveSoon } from './archive.ts';
export { binOf, type DemoGateway, writeGatewayConfig } from './gateway-config.ts';
export { PLANTED } from './planted-values.ts';
export { awaitSession } from './report.ts';
export { type Road, type RoadOptions, startRoad } from './road.ts';
