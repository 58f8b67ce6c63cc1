// What a person must hear of, and a workbook that shows the same to whoever comes to look. Each rule's query is a file in
// infra/queries; docs/operations.md says what to do.
param suffix string
param location string
param tags object
param workspaceId string
@description('Where vaults and storage say who read and wrote what.')
param auditWorkspaceId string
param componentId string
param alertEmail string
param heartbeatHours int
@description('Object ids that read the vaults by right: the app and others.')
param readers array
@description('Object id of the identity that brings the deployment package.')
param deployerId string
@description('As in main.bicep: each principalId reads by right.')
param consumers array

var consumerIds = [for consumer in consumers: consumer.principalId]
var knownReaders = '"${join(union(readers, consumerIds), '", "')}"'
var stopped = replace(loadTextContent('../queries/schedule-stopped.kql'), '{hours}', string(heartbeatHours))
var unexpected = replace(loadTextContent('../queries/unexpected-readers.kql'), '{readers}', knownReaders)
var written = replace(loadTextContent('../queries/package-written.kql'), '{deployer}', deployerId)

var rules = [
  {
    name: 'schedule-stopped'
    scope: componentId
    says: 'No run of the timer of patrol has finished for ${heartbeatHours} hours'
    severity: 1
    query: stopped
    window: 'P2D'
    every: 'PT1H'
    dimensions: []
  }
  {
    name: 'refresh-stopped'
    scope: componentId
    says: 'The Entra tokens are no longer refreshed'
    severity: 1
    query: loadTextContent('../queries/refresh-stopped.kql')
    window: 'P1D'
    every: 'PT5M'
    dimensions: []
  }
  {
    name: 'run-failed'
    scope: componentId
    says: 'A run of patrol could not attempt anything'
    severity: 1
    query: loadTextContent('../queries/run-failed.kql')
    window: 'PT6H'
    every: 'PT15M'
    dimensions: ['code']
  }
  // Wakes somebody: while messages wait, nobody tells of the PATs that expire either.
  {
    name: 'message-waiting'
    scope: componentId
    says: 'Messages of patrol wait in the queue for over an hour'
    severity: 1
    query: loadTextContent('../queries/message-waiting.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: []
  }
  {
    name: 'pat-expiring'
    scope: componentId
    says: 'A PAT is about to expire and was not replaced'
    severity: 1
    query: loadTextContent('../queries/pat-expiring.kql')
    window: 'P1D'
    every: 'PT1H'
    dimensions: ['secret', 'expires']
  }
  // Of Key Vault itself, whatever became of the app and its timer.
  {
    name: 'secret-expired'
    scope: auditWorkspaceId
    says: 'A published secret has expired and was not replaced'
    severity: 1
    query: loadTextContent('../queries/secret-expired.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: ['vault', 'secret']
  }
  {
    name: 'user-blocked'
    scope: componentId
    says: 'Entra ID refuses to sign a technical user in'
    severity: 1
    query: loadTextContent('../queries/user-blocked.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: ['username', 'code']
  }
  {
    name: 'enrollment-ending'
    scope: componentId
    says: 'A user without a password has to be enrolled again soon'
    severity: 2
    query: loadTextContent('../queries/enrollment-ending.kql')
    window: 'P1D'
    every: 'PT1H'
    dimensions: ['username', 'ends']
  }
  {
    name: 'item-failed'
    scope: componentId
    says: 'A PAT could not be rotated'
    severity: 2
    query: loadTextContent('../queries/item-failed.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: ['secret', 'code', 'day']
  }
  // Can wait for the morning: one user's share of one run, and the next run looks at that user again.
  {
    name: 'message-set-aside'
    scope: auditWorkspaceId
    says: 'A message of patrol was set aside'
    severity: 2
    query: loadTextContent('../queries/message-set-aside.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: ['storage']
  }
  // Until the next day nothing that reads the app's logs can tell anything.
  {
    name: 'logs-stopped'
    scope: workspaceId
    says: 'The logs of patrol reached their daily limit and are no longer taken'
    severity: 1
    query: loadTextContent('../queries/logs-stopped.kql')
    window: 'P1D'
    every: 'PT15M'
    dimensions: []
  }
  {
    name: 'package-written'
    scope: auditWorkspaceId
    says: 'Somebody but the platform wrote or removed the deployment package'
    severity: 1
    query: written
    window: 'PT1H'
    every: 'PT15M'
    dimensions: ['storage', 'writer']
  }
  {
    name: 'unexpected-readers'
    scope: auditWorkspaceId
    says: 'Somebody unknown read a secret'
    severity: 2
    query: unexpected
    window: 'PT1H'
    every: 'PT15M'
    dimensions: ['vault', 'reader']
  }
  {
    name: 'refused-readers'
    scope: auditWorkspaceId
    says: 'A vault refuses one caller again and again'
    severity: 2
    query: loadTextContent('../queries/refused-readers.kql')
    window: 'PT1H'
    every: 'PT15M'
    dimensions: ['vault', 'caller']
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'patrol'
    emailReceivers: [
      { name: 'people', emailAddress: alertEmail, useCommonAlertSchema: true }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${rule.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.says
      description: 'patrol: docs/operations.md, section Alerts, ${rule.name}'
      severity: rule.severity
      enabled: true
      scopes: [rule.scope]
      evaluationFrequency: rule.every
      windowSize: rule.window
      // A fresh workspace has no such rows yet, and the check would fail the deployment.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: [for one in rule.dimensions: { name: one, operator: 'Include', values: ['*'] }]
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [people.id] }
    }
  }
]

// The windows of the rules, as a workbook counts them.
var milliseconds = {
  PT1H: 3600000
  PT6H: 21600000
  P1D: 86400000
  P2D: 172800000
}

var head = {
  type: 1
  name: 'head'
  content: {
    json: '## patrol, deployment ${suffix}\n\nEach table is what an alert rule watches, over that rule\'s window: rows are what somebody has to look at, and a green line is well. What to do about each: docs/operations.md, section Alerts. The state of every PAT is not in the logs: `GET /api/page` shows it.'
  }
}

var tables = map(rules, rule => {
  type: 3
  name: rule.name
  content: {
    version: 'KqlItem/1.0'
    query: rule.query
    size: 4
    title: '${rule.says} (${rule.name})'
    noDataMessage: 'Nothing of it.'
    noDataMessageStyle: 3
    timeContext: { durationMs: milliseconds[rule.window] }
    queryType: 0
    resourceType: rule.scope == componentId
      ? 'microsoft.insights/components'
      : 'microsoft.operationalinsights/workspaces'
    crossComponentResources: [rule.scope]
    visualization: 'table'
  }
})

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // A workbook's name is a guid; the same one at every deployment.
  name: guid(resourceGroup().id, 'patrol', suffix)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'patrol ${suffix}'
    category: 'workbook'
    sourceId: componentId
    version: '1.0'
    serializedData: string({ version: 'Notebook/1.0', items: concat([head], tables), isLocked: true })
  }
}
