// The function app on Flex Consumption. No key and no connection string: everything is opened by the identity.
param planName string
param name string
param location string
param tags object
param identityId string
param identityClientId string
@description('Resource id of the identity that the platform brings and fetches the package with.')
param deployerId string
param storageName string
param packagesUrl string
param componentName string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReadyInstances int
@description('Resource id of the subnet that the app reaches private endpoints through; empty for none.')
param subnetId string
@description('Ranges of addresses, and service tags, that may call the app; empty for everybody.')
param allowedAddresses array
@description('What patrol itself reads.')
param settings object

var alwaysReady = alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
var network = empty(subnetId)
  ? {}
  : { virtualNetworkSubnetId: subnetId, outboundVnetRouting: { applicationTraffic: true } }

// A range has its length, a service tag does not.
var addressRules = [
  for (address, i) in allowedAddresses: {
    name: 'allowed-${i}'
    priority: 100 + i
    action: 'Allow'
    ipAddress: address
    tag: contains(address, '/') ? 'Default' : 'ServiceTag'
  }
]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

var site = {
  serverFarmId: plan.id
  httpsOnly: true
  publicNetworkAccess: 'Enabled'
  clientAffinityEnabled: false
  siteConfig: {
    minTlsVersion: '1.2'
    scmMinTlsVersion: '1.2'
    ftpsState: 'Disabled'
    http20Enabled: true
    remoteDebuggingEnabled: false
    ipSecurityRestrictions: addressRules
    ipSecurityRestrictionsDefaultAction: empty(allowedAddresses) ? 'Allow' : 'Deny'
    // Deployments come from elsewhere than callers, and need a role.
    scmIpSecurityRestrictionsUseMain: false
  }
  functionAppConfig: {
    runtime: { name: 'python', version: '3.13' }
    deployment: {
      storage: {
        type: 'blobContainer'
        value: packagesUrl
        authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: deployerId }
      }
    }
    scaleAndConcurrency: {
      instanceMemoryMB: instanceMemoryMB
      maximumInstanceCount: maximumInstanceCount
      alwaysReady: alwaysReady
      // Twice this fits into the worker's threads (PYTHON_THREADPOOL_THREAD_COUNT): each request works beside itself.
      triggers: { http: { perInstanceConcurrency: 16 } }
    }
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  // azd finds the app by this tag.
  tags: union(tags, { 'azd-service-name': 'patrol' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {}, '${deployerId}': {} }
  }
  properties: union(site, network)

  // One by one, and not by union(): so that a snapshot shows each of them.
  resource appSettings 'config' = {
    name: 'appsettings'
    properties: {
      KEY_VAULT_URL: settings.KEY_VAULT_URL
      CREDENTIALS_VAULT_URL: settings.CREDENTIALS_VAULT_URL
      ENROLLMENTS_VAULT_URL: settings.ENROLLMENTS_VAULT_URL
      PATS_FILE: settings.PATS_FILE
      DEPLOYMENT_NAME: settings.DEPLOYMENT_NAME
      ROTATION_SCHEDULE: settings.ROTATION_SCHEDULE
      RUN_BUDGET: settings.RUN_BUDGET
      HTTP_BUDGET: settings.HTTP_BUDGET
      PARALLEL_USERS: settings.PARALLEL_USERS
      FAN_OUT_ABOVE: settings.FAN_OUT_ABOVE
      // The limit above: each instance takes its share of what the vault takes, so both are one number.
      QUEUE_INSTANCES: string(maximumInstanceCount)
      VAULT_LOGS: settings.VAULT_LOGS
      KNOWN_READERS: settings.KNOWN_READERS
      HTTP_AUTH: settings.HTTP_AUTH
      AZURE_AUTHORITY_HOST: settings.AZURE_AUTHORITY_HOST
      AZURE_CLIENT_ID: identityClientId
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identityClientId
      // The name is enough in the public cloud; in a sovereign one the host cannot make the addresses from it.
      AzureWebJobsStorage__accountName: storageName
      AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${environment().suffixes.storage}'
      AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${environment().suffixes.storage}'
      APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
      PYTHON_THREADPOOL_THREAD_COUNT: '32'
    }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
