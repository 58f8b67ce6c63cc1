// patrol: everything it needs in one resource group. `azd up` and `az deployment group create` both take this file.
// docs/deploy.md leads through it, docs/security.md says who can reach what.
targetScope = 'resourceGroup'

metadata description = 'patrol: rotates Azure DevOps PATs of technical users, keyless and watched'

@description('Name of this deployment: letters, digits and hyphens. Part of the resources\' names and of the mark on every PAT, so never change it.')
@minLength(2)
@maxLength(40)
param deploymentName string

@description('Region of all resources; Flex Consumption must be offered there.')
param location string = resourceGroup().location

@description('Tags of all resources.')
param tags object = {}

// --- what patrol does -------------------------------------------------------------------------------------------------

@description('When the timer runs: NCRONTAB of six fields, seconds first, UTC.')
@minLength(11)
param rotationSchedule string = '0 0 */6 * * *'

@description('How long one run may work: 1m to 25m.')
param runBudget string = '20m'

@description('How long one HTTP request may work: 5s to 200s. Azure Pipelines waits 60 seconds.')
param httpBudget string = '45s'

@description('Technical users worked on at once.')
@minValue(1)
@maxValue(64)
param parallelUsers int = 8

@description('Technical users from which the queue takes over: a number, 0 for always, or never.')
@minLength(1)
@maxLength(7)
param fanOutAbove string = '25'

@description('The inventory: a file of the deployment package, or the https address of a blob or of a folder of blobs that exist.')
param patsFile string = 'pats.yaml'

@description('Where the inventory is: package (patsFile), or blobs (a container of its own is made, and patrol reads it at each run).')
@allowed(['package', 'blobs'])
param inventoryFrom string = 'package'

// --- the vaults -------------------------------------------------------------------------------------------------------
// Vaults that exist have to be patrol's own: it gets its role on the whole vault, and would read and write every other
// team's secrets in it.

@description('A vault that exists and holds nothing else, for the published PATs; empty: a new one is made.')
param patsVaultName string = ''

@description('Its resource group, when it is another one than this.')
param patsVaultResourceGroup string = ''

@description('A vault that exists and holds nothing else, for the credentials of the technical users, never that of the PATs; empty: a new one is made.')
param credentialsVaultName string = ''

@description('Its resource group, when it is another one than this.')
param credentialsVaultResourceGroup string = ''

@description('A vault that exists and holds nothing else, for the refresh tokens of users without a password; empty: they lie in the credentials vault.')
param enrollmentsVaultName string = ''

@description('Its resource group, when it is another one than this.')
param enrollmentsVaultResourceGroup string = ''

@description('Resource ids of more vaults that exist, of any resource group and subscription, for PATs whose item names one in pats.yaml (docs/vaults.md): each holds nothing else.')
param vaults array = []

@description('The same as text, for azd: a JSON list.')
param vaultsJson string = ''

@description('Id (a guid) of the role by which the app writes PATs, and enrollments in a vault of their own. Default: Key Vault Secrets Officer; infra/custom-role.bicep makes one that cannot delete or purge.')
@minLength(36)
@maxLength(36)
param patsVaultRoleId string = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'

@description('Id (a guid) of the role by which the app keeps enrollments of users without a password in the credentials vault: infra/custom-role.bicep makes one that can write and not read. Empty: none, and users are enrolled in a vault of their own or not at all.')
@maxLength(36)
param enrollmentRoleId string = ''

@description('Id (a guid) of the role by which the app reads who reads the published PATs, in the log of their vault: infra/custom-role.bicep makes one for the two tables of that log alone. Empty: the app sees no log.')
@maxLength(36)
param logsRoleId string = ''

@description('Days that a deleted secret or vault can be recovered; fixed when a vault is made.')
@minValue(7)
@maxValue(90)
param softDeleteRetentionInDays int = 90

@description('Who may read which published PAT: [{ secretName, principalId, principalType }]. The secrets must exist, so fill this in after the first run (docs/deploy.md).')
param consumers array = []

@description('The same as one line of JSON, for what passes text alone, such as the portal and azd. Give one of the two.')
param consumersJson string = ''

// --- the code ---------------------------------------------------------------------------------------------------------

@description('Address of a deployment package that everybody may read, such as patrol.zip of a release; empty: code is deployed afterwards. For the first time only: a later deployment with it brings that package back.')
param packageUri string = ''

// --- who may call -----------------------------------------------------------------------------------------------------

@description('Client id of the API\'s app registration (infra/entra). Given: callers sign in with Entra ID and need an app role. Empty: function keys.')
param authClientId string = ''

@description('Tenant of the callers.')
param authTenantId string = subscription().tenantId

@description('Client ids of the applications that may call; empty: every one that has an app role. Needs authClientId.')
param authAllowedApplications array = []

@description('Who may reach the app at all: ranges of addresses such as 203.0.113.0/24, and service tags such as AzureDevOps, separated by commas; empty: everybody. Deployments are not held back by it.')
param allowedAddresses string = ''

// --- size -------------------------------------------------------------------------------------------------------------

@description('Memory of one instance in MB; 512 is too small for 10,000 PATs.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Most instances for each group of functions, and so the number among which the vault\'s and Entra ID\'s pace is divided (docs/performance.md). Less than 40 is not accepted in every region.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are always ready for HTTP, against cold starts; each costs around the clock.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Redundancy of the host\'s storage.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS'])
param storageSku string = 'Standard_LRS'

// --- network ----------------------------------------------------------------------------------------------------------

@description('private: storage and vaults have no public address, the app reaches them through a network of its own.')
@allowed(['public', 'private'])
param networkMode string = 'public'

@description('Address range of that network: /24 or larger. Only with networkMode private.')
param addressPrefix string = ''

// --- watching ---------------------------------------------------------------------------------------------------------

@description('Who is told when something needs a person.')
@minLength(6)
param alertEmail string

@description('Hours without a finished run of the timer after which the schedule counts as stopped: more than the schedule\'s own interval.')
@minValue(2)
@maxValue(47)
param heartbeatHours int = 13

@description('Object ids of others that read the vaults by right, such as people on duty; consumers need not be named again.')
param expectedReaders array = []

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionInDays int = 90

@description('Most GB of the app\'s logs a day; -1: no limit. What vaults and storage log is never limited.')
@minValue(-1)
param logDailyQuotaGb int = 1

// --- half-configured options are refused ------------------------------------------------------------------------------

var isPrivate = networkMode == 'private'
var checkedPrefix = isPrivate && empty(addressPrefix)
  ? fail('networkMode is private: give addressPrefix, such as 10.20.0.0/24')
  : !isPrivate && !empty(addressPrefix) ? fail('addressPrefix is given, and networkMode is not private') : addressPrefix
var checkedPatsGroup = empty(patsVaultName) && !empty(patsVaultResourceGroup)
  ? fail('patsVaultResourceGroup is given without patsVaultName')
  : empty(patsVaultResourceGroup) ? resourceGroup().name : patsVaultResourceGroup
var checkedCredentialsGroup = empty(credentialsVaultName) && !empty(credentialsVaultResourceGroup)
  ? fail('credentialsVaultResourceGroup is given without credentialsVaultName')
  : empty(credentialsVaultResourceGroup) ? resourceGroup().name : credentialsVaultResourceGroup
var checkedEnrollmentsGroup = empty(enrollmentsVaultName) && !empty(enrollmentsVaultResourceGroup)
  ? fail('enrollmentsVaultResourceGroup is given without enrollmentsVaultName')
  : empty(enrollmentsVaultResourceGroup) ? resourceGroup().name : enrollmentsVaultResourceGroup
var checkedEnrollmentsVault = empty(enrollmentsVaultName)
  ? ''
  : !empty(enrollmentRoleId)
      ? fail('enrollmentRoleId is for the credentials vault, and enrollmentsVaultName names another: give one')
      : contains([toLower(patsVaultName), toLower(credentialsVaultName)], toLower(enrollmentsVaultName))
          ? fail('enrollmentsVaultName is the vault of the PATs or of the credentials: give one of its own')
          : enrollmentsVaultName
var checkedApplications = empty(authClientId) && !empty(authAllowedApplications)
  ? fail('authAllowedApplications is given without authClientId')
  : authAllowedApplications
var checkedAuthClientId = empty(authClientId) || length(authClientId) == 36
  ? authClientId
  : fail('authClientId is not a client id: 36 characters, such as 22222222-2222-3333-4444-555555555555')
var checkedPatsVault = !empty(patsVaultName) && toLower(patsVaultName) == toLower(credentialsVaultName)
  ? fail('patsVaultName and credentialsVaultName are one vault: who reads PATs in it would read passwords too')
  : patsVaultName
var givenVaults = empty(vaultsJson)
  ? vaults
  : empty(vaults) ? json(vaultsJson) : fail('vaults and vaultsJson are both given: give one')
var checkedVaults = [
  for vaultId in givenVaults: length(split(vaultId, '/')) != 9 || !contains(
      toLower(vaultId),
      '/providers/microsoft.keyvault/vaults/'
    )
    ? fail('vaults: ${vaultId} is no resource id of a vault')
    : contains(
          [toLower(patsVaultName), toLower(credentialsVaultName), toLower(enrollmentsVaultName)],
          toLower(last(split(vaultId, '/')))
        )
        ? fail('vaults: ${vaultId} is the vault of the PATs, the credentials or the enrollments already')
        : vaultId
]
// A number or a colon: an address, which needs its length.
var listedAddresses = empty(allowedAddresses) ? [] : split(replace(allowedAddresses, ' ', ''), ',')
var checkedAddresses = [
  for address in listedAddresses: empty(address)
    ? fail('allowedAddresses has an empty place between its commas')
    : contains(address, '/') || !(contains('0123456789', take(address, 1)) || contains(address, ':'))
        ? address
        : fail('allowedAddresses: give ${address} its length, such as ${address}/32')
]
var fromBlobs = inventoryFrom == 'blobs'
var checkedPatsFile = fromBlobs && patsFile != 'pats.yaml'
  ? fail('patsFile is given, and inventoryFrom is blobs: give one')
  : fromBlobs ? 'https://${inventoryName}.blob.${environment().suffixes.storage}/inventory/' : patsFile
var strangeLetters = replace(replace(replace(replace(deploymentName, '_', ' '), '.', ' '), '/', ' '), '@', ' ')
var checkedConsumers = empty(consumersJson)
  ? consumers
  : empty(consumers) ? json(consumersJson) : fail('consumers and consumersJson are both given: give one')
var consumerIds = [for consumer in checkedConsumers: consumer.principalId]
var knownReaders = union(consumerIds, expectedReaders)
var checkedPackage = empty(packageUri) || startsWith(packageUri, 'https://')
  ? packageUri
  : fail('packageUri does not begin with https://')
var checkedName = contains(strangeLetters, ' ') || startsWith(deploymentName, '-') || endsWith(deploymentName, '-')
  ? fail('deploymentName takes letters, digits and hyphens, and a letter or digit at both ends')
  : deploymentName
var checkedFanOut = fanOutAbove == 'never'
  ? fanOutAbove
  : int(fanOutAbove) < 0 ? fail('fanOutAbove takes a number from 0 on, or never') : fanOutAbove

// --- names ------------------------------------------------------------------------------------------------------------

var token = uniqueString(resourceGroup().id, checkedName)
var plain = toLower(replace(checkedName, '-', ''))
// Key Vault: 24 characters, a letter first, no two hyphens together. Storage: 24 lower-case letters and digits.
var newPatsVault = 'kvp-${take(plain, 6)}-${token}'
var newCredentialsVault = 'kvc-${take(plain, 6)}-${token}'
var storageName = 'st${take(plain, 9)}${token}'
var packagesName = 'stp${take(plain, 8)}${token}'
var inventoryName = 'sti${take(plain, 8)}${token}'
// The host tells apps on one storage apart by the first 32 characters.
var appName = 'patrol-${take(plain, 10)}-${token}'
var suffix = '${take(plain, 20)}-${token}'

var newPats = empty(checkedPatsVault)
var newCredentials = empty(credentialsVaultName)
var patsVault = newPats ? newPatsVault : checkedPatsVault
var credentialsVault = newCredentials ? newCredentialsVault : credentialsVaultName
var vaultSuffix = environment().suffixes.keyvaultDns
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

var useEntra = !empty(checkedAuthClientId)

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: { name: 'id-${suffix}', location: location, tags: tags }
}

// Not the app's: what runs in the app has no business with the package it came from.
module deployer 'modules/identity.bicep' = {
  name: 'deployer'
  params: { name: 'id-deploy-${suffix}', location: location, tags: tags }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: 'log-${suffix}'
    auditWorkspaceName: 'log-audit-${suffix}'
    componentName: 'appi-${suffix}'
    location: location
    tags: tags
    retentionInDays: logRetentionInDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module storage 'modules/host-storage.bicep' = {
  name: 'storage'
  params: {
    name: storageName
    location: location
    tags: tags
    skuName: storageSku
    isPrivate: isPrivate
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
  }
}

module packages 'modules/package-storage.bicep' = {
  name: 'packages'
  params: {
    name: packagesName
    location: location
    tags: tags
    skuName: storageSku
    isPrivate: isPrivate
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
    deployerId: deployer.outputs.principalId
  }
}

module inventory 'modules/inventory-storage.bicep' = if (fromBlobs) {
  name: 'inventory'
  params: {
    name: inventoryName
    location: location
    tags: tags
    skuName: storageSku
    isPrivate: isPrivate
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
    readerId: identity.outputs.principalId
  }
}

module patsVaultNew 'modules/key-vault.bicep' = if (newPats) {
  name: 'pats-vault'
  params: {
    name: newPatsVault
    location: location
    tags: tags
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
    isPrivate: isPrivate
    softDeleteRetentionInDays: softDeleteRetentionInDays
  }
}

module credentialsVaultNew 'modules/key-vault.bicep' = if (newCredentials) {
  name: 'credentials-vault'
  params: {
    name: newCredentialsVault
    location: location
    tags: tags
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
    isPrivate: isPrivate
    softDeleteRetentionInDays: softDeleteRetentionInDays
  }
}

module hostRoles 'modules/host-roles.bicep' = {
  name: 'host-roles'
  params: {
    principalId: identity.outputs.principalId
    storageName: storageName
    componentName: 'appi-${suffix}'
  }
  dependsOn: [storage, monitoring]
}

module writesPats 'modules/vault-role.bicep' = {
  name: 'writes-pats'
  scope: resourceGroup(checkedPatsGroup)
  params: {
    vaultName: patsVault
    principalId: identity.outputs.principalId
    roleId: patsVaultRoleId
    why: 'patrol publishes PATs'
  }
  dependsOn: [patsVaultNew]
}

module writesMore 'modules/vault-role.bicep' = [
  for (vaultId, i) in checkedVaults: {
    name: 'writes-more-${i}'
    scope: resourceGroup(split(vaultId, '/')[2], split(vaultId, '/')[4])
    params: {
      vaultName: last(split(vaultId, '/'))
      principalId: identity.outputs.principalId
      roleId: patsVaultRoleId
      why: 'patrol publishes PATs'
    }
  }
]

module readsCredentials 'modules/vault-role.bicep' = {
  name: 'reads-credentials'
  scope: resourceGroup(checkedCredentialsGroup)
  params: {
    vaultName: credentialsVault
    principalId: identity.outputs.principalId
    roleId: secretsUser
    why: 'patrol reads the credentials of the technical users'
  }
  dependsOn: [credentialsVaultNew]
}

module keepsEnrollments 'modules/vault-role.bicep' = if (!empty(enrollmentRoleId)) {
  name: 'keeps-enrollments'
  scope: resourceGroup(checkedCredentialsGroup)
  params: {
    vaultName: credentialsVault
    principalId: identity.outputs.principalId
    roleId: enrollmentRoleId
    why: 'patrol keeps the enrollments of users without a password'
  }
  dependsOn: [credentialsVaultNew]
}

module writesEnrollments 'modules/vault-role.bicep' = if (!empty(checkedEnrollmentsVault)) {
  name: 'writes-enrollments'
  scope: resourceGroup(checkedEnrollmentsGroup)
  params: {
    vaultName: checkedEnrollmentsVault
    principalId: identity.outputs.principalId
    roleId: patsVaultRoleId
    why: 'patrol keeps the enrollments of users without a password, in a vault of their own'
  }
}

module readsLog 'modules/vault-role.bicep' = if (!empty(logsRoleId)) {
  name: 'reads-log'
  scope: resourceGroup(checkedPatsGroup)
  params: {
    vaultName: patsVault
    principalId: identity.outputs.principalId
    roleId: logsRoleId
    why: 'patrol reads who reads the PATs it publishes'
  }
  dependsOn: [patsVaultNew]
}

module readsMoreLogs 'modules/vault-role.bicep' = [
  for (vaultId, i) in checkedVaults: if (!empty(logsRoleId)) {
    name: 'reads-more-logs-${i}'
    scope: resourceGroup(split(vaultId, '/')[2], split(vaultId, '/')[4])
    params: {
      vaultName: last(split(vaultId, '/'))
      principalId: identity.outputs.principalId
      roleId: logsRoleId
      why: 'patrol reads who reads the PATs it publishes'
    }
  }
]

module secretReaders 'modules/secret-readers.bicep' = if (!empty(checkedConsumers)) {
  name: 'secret-readers'
  scope: resourceGroup(checkedPatsGroup)
  params: { vaultName: patsVault, consumers: checkedConsumers }
  dependsOn: [patsVaultNew]
}

module network 'modules/network.bicep' = if (isPrivate) {
  name: 'network'
  params: {
    name: 'vnet-${suffix}'
    location: location
    tags: tags
    addressPrefix: checkedPrefix
    storageId: storage.outputs.id
    packagesId: packages.outputs.id
    inventoryId: fromBlobs ? inventory!.outputs.id : ''
    vaultIds: union(
      [
        resourceId(checkedPatsGroup, 'Microsoft.KeyVault/vaults', patsVault)
        resourceId(checkedCredentialsGroup, 'Microsoft.KeyVault/vaults', credentialsVault)
      ],
      empty(checkedEnrollmentsVault)
        ? []
        : [resourceId(checkedEnrollmentsGroup, 'Microsoft.KeyVault/vaults', checkedEnrollmentsVault)],
      checkedVaults
    )
  }
  dependsOn: [patsVaultNew, credentialsVaultNew]
}

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    planName: 'plan-${suffix}'
    name: appName
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    deployerId: deployer.outputs.id
    storageName: storageName
    packagesUrl: packages.outputs.packagesUrl
    allowedAddresses: checkedAddresses
    componentName: 'appi-${suffix}'
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    subnetId: isPrivate ? network!.outputs.appSubnetId : ''
    settings: {
      KEY_VAULT_URL: 'https://${patsVault}${vaultSuffix}'
      CREDENTIALS_VAULT_URL: 'https://${credentialsVault}${vaultSuffix}'
      ENROLLMENTS_VAULT_URL: 'https://${empty(checkedEnrollmentsVault) ? credentialsVault : checkedEnrollmentsVault}${vaultSuffix}'
      PATS_FILE: checkedPatsFile
      DEPLOYMENT_NAME: checkedName
      ROTATION_SCHEDULE: rotationSchedule
      RUN_BUDGET: runBudget
      HTTP_BUDGET: httpBudget
      PARALLEL_USERS: string(parallelUsers)
      FAN_OUT_ABOVE: checkedFanOut
      VAULT_LOGS: empty(logsRoleId)
        ? 'none'
        : join(concat([resourceId(checkedPatsGroup, 'Microsoft.KeyVault/vaults', patsVault)], checkedVaults), ',')
      // Nobody named is nothing known: else everybody would be told as unknown.
      KNOWN_READERS: empty(knownReaders) ? 'none' : join(knownReaders, ',')
      HTTP_AUTH: useEntra ? 'entra' : 'function-key'
      AZURE_AUTHORITY_HOST: split(environment().authentication.loginEndpoint, '/')[2]
    }
  }
  dependsOn: [hostRoles, writesPats, writesMore, readsCredentials]
}

module code 'modules/code.bicep' = if (!empty(checkedPackage)) {
  name: 'code'
  params: { appName: appName, packageUri: checkedPackage }
  dependsOn: [app]
}

module auth 'modules/auth.bicep' = if (useEntra) {
  name: 'auth'
  params: {
    appName: appName
    clientId: checkedAuthClientId
    tenantId: authTenantId
    allowedApplications: checkedApplications
  }
  dependsOn: [app]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    suffix: suffix
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    auditWorkspaceId: monitoring.outputs.auditWorkspaceId
    componentId: monitoring.outputs.componentId
    alertEmail: alertEmail
    heartbeatHours: heartbeatHours
    deployerId: deployer.outputs.principalId
    readers: concat(expectedReaders, [identity.outputs.principalId])
    consumers: checkedConsumers
  }
}

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = subscription().tenantId
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_FUNCTION_NAME string = app.outputs.name
output AZURE_FUNCTION_URL string = app.outputs.url
output AZURE_PATS_VAULT_NAME string = patsVault
output AZURE_CREDENTIALS_VAULT_NAME string = credentialsVault
output AZURE_STORAGE_ACCOUNT string = storageName
output AZURE_INVENTORY_ACCOUNT string = fromBlobs ? inventoryName : ''
output AZURE_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output AZURE_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
