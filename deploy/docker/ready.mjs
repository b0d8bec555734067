// Healthcheck of a container: exit code 0 when the service on this port says that it is ready.
//
//     node deploy/docker/ready.mjs <health port>
const answer = await fetch(`http://127.0.0.1:${process.argv[2]}/readyz`).catch(() => undefined);
process.exit(answer?.ok ? 0 : 1);
