// Reads a stream of YAML documents from standard input and holds each entity against the portal's own catalog model.
// One line a problem and status 1; a sound stream says how many entities it has.
import { text } from 'node:stream/consumers';
import * as model from '@backstage/catalog-model';
import { parseAllDocuments } from 'yaml';

const { parseEntityRef, stringifyEntityRef } = model;
const envelope = model.entityEnvelopeSchemaValidator();
// What the catalog does with every entity before it looks at its kind.
const policies = [
  new model.SchemaValidEntityPolicy(),
  new model.DefaultNamespaceEntityPolicy(),
  new model.NoForeignRootFieldsEntityPolicy(),
  new model.FieldFormatEntityPolicy(model.makeValidator()),
];
const kinds = {
  api: model.apiEntityV1alpha1Validator,
  component: model.componentEntityV1alpha1Validator,
  domain: model.domainEntityV1alpha1Validator,
  group: model.groupEntityV1alpha1Validator,
  location: model.locationEntityV1alpha1Validator,
  resource: model.resourceEntityV1alpha1Validator,
  system: model.systemEntityV1alpha1Validator,
  user: model.userEntityV1alpha1Validator,
};
// The fields that refer to entities, with the kind that is meant when none is written.
const references = {
  owner: 'group', system: 'system', domain: 'domain', parent: 'group', subcomponentOf: 'component',
  providesApis: 'api', consumesApis: 'api', members: 'user', memberOf: 'group', children: 'group',
  dependsOn: undefined, dependencyOf: undefined,
};
const names = model.KubernetesValidatorFunctions;

function problemsOfReference(field, reference, defaultKind, defaultNamespace) {
  try {
    const { kind, namespace, name } = parseEntityRef(reference, { defaultKind, defaultNamespace });
    // The parser takes any text for a name; nothing that breaks these rules can ever be the entity that is meant.
    const good = names.isValidKind(kind) && names.isValidNamespace(namespace) && names.isValidObjectName(name);
    return good ? [] : [`spec.${field}: ${JSON.stringify(reference)} can be no entity`];
  } catch (error) {
    return [`spec.${field}: ${error.message}`];
  }
}

function problemsOfReferences(entity) {
  const namespace = entity.metadata.namespace;
  return Object.entries(references).flatMap(([field, kind]) =>
    [entity.spec?.[field] ?? []].flat().flatMap(one => problemsOfReference(field, one, kind, namespace)),
  );
}

async function problemsOf(document) {
  try {
    let entity = envelope(document);
    for (const policy of policies) entity = await policy.enforce(entity);
    const validator = kinds[entity.kind.toLowerCase()];
    // False: it is of another kind or version than this validator is for.
    if (!(await validator?.check(entity))) return [`no validator takes ${entity.kind} of ${entity.apiVersion}`];
    return problemsOfReferences(entity);
  } catch (error) {
    return [error.message];
  }
}

const seen = new Set();
const told = [];
const documents = parseAllDocuments(await text(process.stdin), { merge: true });
for (const [index, document] of [...documents].entries()) {
  const entity = document.toJS();
  // The catalog passes over an empty document too.
  if (entity === null && !document.errors.length) continue;
  const problems = document.errors.length ? document.errors.map(one => one.message) : await problemsOf(entity);
  if (!problems.length) {
    const reference = stringifyEntityRef(entity);
    if (seen.has(reference)) problems.push(`${reference} is there twice`);
    seen.add(reference);
  }
  const name = String(entity?.metadata?.name ?? '').slice(0, 80);
  told.push(...problems.map(one => `${index} ${name}: ${one}`.replace(/\s+/g, ' ')));
}
if (!seen.size && !told.length) told.push('there is no entity');
console.log(told.length ? told.join('\n') : `${seen.size} entities`);
process.exitCode = told.length ? 1 : 0;
