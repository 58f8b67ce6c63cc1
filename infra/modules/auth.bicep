// App Service authentication in front of the HTTP API: no token of this tenant for this API, no call.
// App roles are checked by the app itself.
param appName string
param clientId string
param tenantId string
@description('Client ids of the applications that may call; empty for every one that has a role.')
param allowedApplications array

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

var policy = empty(allowedApplications) ? {} : { allowedApplications: allowedApplications }

resource authentication 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true, runtimeVersion: '~1' }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
      redirectToProvider: 'azureactivedirectory'
      // Below /api/enroll a ticket opens what a caller with a role was given; /api/enroll itself stays closed.
      excludedPaths: ['/api/health', '/api/enroll/*']
    }
    httpSettings: {
      requireHttps: true
      routes: { apiPrefix: '/.auth' }
      forwardProxy: { convention: 'NoProxy' }
    }
    login: { tokenStore: { enabled: false } }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: clientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: ['api://${clientId}', clientId]
          defaultAuthorizationPolicy: policy
        }
      }
    }
  }
}
